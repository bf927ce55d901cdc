# make build          install what package-lock.json asks for (only when it changed) and bundle the programs
# make start [ONCE=1] build, then run a whole local Flotilla in the foreground; Ctrl-C stops it. ONCE=1: prove it works, stop
# make test  [V=1]    every check and test; the last line is the verdict. V=1 streams what the steps say
# make test-external  system tests on Postgres 15 and 18 as external servers, jobs on Redis; as root installs Debian's if missing
# make fleet [AGENTS=1000] [SECONDS=60]  thousands of simulated agents work against a coordinator of their own
# make soak [MINUTES=10]  the same for as long as you like, judged: leaks, growing tables, stuck rows
# make test-openclaw   turns of the real OpenClaw, installed from npm on first use (830 MB); FLOTILLA_TEST_LONG=1 for all
# make bench [ONLY=claims,…] [ROUNDS=5]  measures everything beside its ceiling (20 min), writes docs/benchmarks.md
# make format         rewrite files in the house format

export TURBO_TELEMETRY_DISABLED = 1
export DO_NOT_TRACK = 1
MAKEFLAGS += --no-print-directory

# `exec` keeps no shell between make and the program: a signal arrives once, and the exit code is the program's own.
# For the same reason tools are called by path; npx would stand in between.

.PHONY: build start test test-external test-openclaw bench fleet soak format deps clean
.DEFAULT_GOAL := build

deps:
	@node deploy/checks/installed.mjs || exec npm ci --include=dev --include=optional

# turbo sums up even when there was nothing to do; what it says matters only when a build fails.
build: deps
	@said=$$(node_modules/.bin/turbo run build --output-logs=errors-only 2>&1) || { echo "$$said"; exit 1; }

start: build
	@exec node --import tsx deploy/local/start.ts $(if $(filter 1,$(ONCE)),--once)

test:
	@exec node deploy/checks/gate.mjs

test-external:
	@exec node deploy/checks/gate.mjs external

test-openclaw:
	@exec node deploy/checks/gate.mjs openclaw

# The variables reach it through the environment; an empty ONLY means all of it.
bench: build
	@node deploy/checks/servers.mjs redis-server || true
	@ONLY='$(ONLY)' ROUNDS='$(ROUNDS)' OUT='$(OUT)' exec node --import tsx bench/src/main.ts

fleet: build
	@AGENTS=$(or $(AGENTS),1000) SECONDS=$(or $(SECONDS),60) exec node --import tsx bench/src/fleet/main.ts

soak: build
	@MINUTES=$(or $(MINUTES),10) exec node --import tsx bench/src/soak/main.ts

format: deps
	@exec node_modules/.bin/oxfmt

clean:
	@rm -rf .turbo */.turbo */dist */.types
