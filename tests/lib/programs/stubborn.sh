#!/bin/sh
# stubborn.sh LEDGER — ignores TERM, and so do the children it sends away by setsid and by a double fork.
trap '' TERM INT HUP
setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 1; done' &
(setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 1; done' &) &
echo "$FLOTILLA_TASK_ID $FLOTILLA_EPOCH start" >>"$1"
echo "stubborn"
while :; do sleep 1; done
