#!/bin/sh
# work.sh LEDGER "LINES DELAY [EXIT]" — counts its execution in the ledger, prints LINES numbered lines on both streams
# with DELAY seconds between them, then a result. What it prints depends on the task alone, never on the attempt.
ledger=$1
set -- $2
lines=$1 delay=$2 code=${3:-0} i=0
echo "$FLOTILLA_TASK_ID $FLOTILLA_EPOCH start" >>"$ledger"
while [ "$i" -lt "$lines" ]; do
  i=$((i + 1))
  echo "task $FLOTILLA_TASK_ID line $i of $lines"
  echo "task $FLOTILLA_TASK_ID warns $i" >&2
  [ "$delay" = 0 ] || sleep "$delay"
done
echo "$FLOTILLA_TASK_ID $FLOTILLA_EPOCH end" >>"$ledger"
echo "{\"resolution\":\"task $FLOTILLA_TASK_ID said $lines lines\",\"result\":{\"task\":$FLOTILLA_TASK_ID,\"lines\":$lines},\"usage\":{\"input_tokens\":$lines,\"output_tokens\":$FLOTILLA_TASK_ID,\"cost_usd_micros\":$((lines * 10))}}"
exit "$code"
