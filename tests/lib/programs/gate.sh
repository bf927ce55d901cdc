#!/bin/sh
# gate.sh LEDGER GATE — counts its execution, says who it is, waits until the file GATE is there, then succeeds.
echo "$FLOTILLA_TASK_ID $FLOTILLA_EPOCH start" >>"$1"
echo "task $FLOTILLA_TASK_ID waits"
while [ ! -e "$2" ]; do sleep 0.05; done
echo "task $FLOTILLA_TASK_ID goes on"
echo "$FLOTILLA_TASK_ID $FLOTILLA_EPOCH end" >>"$1"
