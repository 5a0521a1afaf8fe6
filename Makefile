# Thin names for the commands of ./headrace, which does the work and needs no make.

.DEFAULT_GOAL := help
.PHONY: help up demo test check bench chaos doctor lock

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

up: ## start everything and serve until Ctrl-C
	@./headrace up

demo: ## start everything, run the main job, say what happened, stop
	@./headrace demo

test: ## run the tests
	@./headrace test

check: ## format, lint, types, import rules, tests
	@./headrace check

bench: ## measure against a model stand-in
	@./headrace bench

chaos: ## kill things and look whether a job was lost
	@./headrace chaos

doctor: ## look at this machine and say what is wrong
	@./headrace doctor

lock: ## write constraints.txt anew
	@./headrace lock
