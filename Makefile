# Shortcuts for ./headrace, which does the work and does not need make.

.DEFAULT_GOAL := help
.PHONY: help up demo test check bench chaos console doctor lock

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

up: ## start everything and serve until Ctrl-C
	@./headrace up

demo: ## start everything, show what headrace does, stop
	@./headrace demo

test: ## run the tests
	@./headrace test

check: ## run every check: lint, format, types, import rules, tests
	@./headrace check

bench: ## measure speed and throughput against a simulated model
	@./headrace bench

chaos: ## kill processes under load and verify that no job is lost
	@./headrace chaos

console: ## build the web console
	@./headrace console

doctor: ## check this machine and say how to fix what is wrong
	@./headrace doctor

lock: ## regenerate constraints.txt
	@./headrace lock
