# Everything a developer does here; `make` alone lists it. What is missing is installed on first use, into this folder.

SHELL := /bin/bash
comma := ,
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
TOOLS := .local/python
UV := $(TOOLS)/bin/uv
DEV := .venv/.installed
SAM := .local/sam/.installed
CHECKOV := .local/checkov/.installed
ENGINE := .local/engine/.installed
NODE := .local/node/.installed

# No command here may reach an AWS account by chance, and none phones home. Only a command of the operators' tool that
# names a stack, with no other target beside it, goes by the AWS settings of its caller.
TOOL_COMMANDS := check parked redrive discard trace tail console import verify
OPERATING := $(and $(STACK),$(if $(filter-out $(TOOL_COMMANDS),$(or $(MAKECMDGOALS),help)),,yes))
ifndef OPERATING
unexport AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_REGION
export AWS_ACCESS_KEY_ID := test
export AWS_SECRET_ACCESS_KEY := test
export AWS_DEFAULT_REGION := us-east-1
export AWS_CONFIG_FILE := /dev/null
export AWS_SHARED_CREDENTIALS_FILE := /dev/null
export AWS_EC2_METADATA_DISABLED := true
endif
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export SAM_CLI_TELEMETRY := 0
# A proxy leads to Whop and to AWS, never to what runs on this machine.
UP_HOST := $(shell sed -n 's/^ *"host": "\(.*\)",*$$/\1/p' .local/up.json 2>/dev/null)
EXEMPT := $(or $(NO_PROXY),$(no_proxy))
export NO_PROXY := $(if $(EXEMPT),$(EXEMPT)$(comma),)127.0.0.1,localhost$(if $(UP_HOST),$(comma)$(UP_HOST))
export no_proxy := $(NO_PROXY)

# Values of the command line reach the commands as they were typed, by the environment: make would eat a `$`, and a shell
# quotes and blanks. A shell may well have a NAME or an EMAIL of its own, so those that were not typed are kept out.
TEXTS := STACK USER_ID REASON DELIVERY FILE WHY DAYS TYPE NAME EMAIL PICTURE PRESET HEADERS SECRET OVERRIDES \
	SCHEME LISTEN PORT FUNCTION EVENT PLATFORM_URL
$(foreach name,$(TEXTS),$(if $(filter command%,$(origin $(name))),\
	$(eval override $(name) := $$(value $(name)))$(eval export $(name)),$(eval unexport $(name))))

# A misspelt variable would be left out in silence: `make redrive USERID=12345` would redrive everything.
KNOWN := $(TEXTS) ARGS WEBHOOKS USERS PARTS SEEDS SEED CHARTS
UNKNOWN := $(foreach name,$(.VARIABLES),$(if $(filter command%,$(origin $(name))),\
	$(filter-out $(KNOWN) SIGNATURE_% MAKE% -%,$(name))))
ifneq ($(strip $(UNKNOWN)),)
$(error There is no variable $(strip $(UNKNOWN)) here. Those that make takes are $(KNOWN) and SIGNATURE_...)
endif

LOCAL_STACK := PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m local_stack
# Without STACK it is the one that `make up` left running.
TOOL := .venv/bin/python -m whop_user_sync
UP_URL = $(or $(shell sed -n 's/^ *"engine_url": "\(.*\)",*$$/\1/p' .local/up.json 2>/dev/null),http://127.0.0.1:4566)
OF_STACK = $(if $(STACK),--stack "$$STACK",--stack whop-user-sync-local --endpoint-url $(UP_URL))
CHOSEN = $(OF_STACK) $(if $(USER_ID),--user "$$USER_ID") $(if $(REASON),--reason "$$REASON") \
	$(if $(DELIVERY),--delivery "$$DELIVERY")
PYTEST := .venv/bin/python -m pytest --quiet
WITH_TOOLS := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" PYTHON="$(CURDIR)/$(TOOLS)/bin/python"

.PHONY: help demo up send down invoke event preview check parked redrive discard trace tail console import verify load bench simulate sandbox sdk test containers lint validate build lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEV) $(SAM) $(ENGINE) ## Run the whole application on this machine and show what it does
	@$(LOCAL_STACK) demo

up: $(DEV) $(SAM) $(ENGINE) ## Start the whole application on this machine and leave it running (PRESET= SCHEME= OVERRIDES= SECRET= PORT= LISTEN= PLATFORM_URL=)
	@$(LOCAL_STACK) up

send: $(DEV) ## Send it one signed webhook (TYPE=created|updated|deleted USER_ID= NAME= EMAIL= PICTURE=)
	@$(LOCAL_STACK) send

down: $(DEV) ## Stop what `make up` left running
	@$(LOCAL_STACK) down

invoke: $(DEV) $(SAM) $(ENGINE) ## Run functions in containers by `sam local invoke` (FUNCTION= EVENT=; without, all sample events)
	@$(LOCAL_STACK) invoke

event: $(DEV) ## Sign the sample events for now: a signature is good for five minutes
	@$(LOCAL_STACK) event

preview: $(DEV) ## Show what a webhook's body would become (PRESET= FILE= HEADERS= SECRET= OVERRIDES= SIGNATURE_...=)
	@$(if $(SECRET),WHOP_USER_SYNC_SIGNING_SECRET="$$SECRET") $(TOOL) preview "$$FILE" $(if $(PRESET),--preset "$$PRESET") \
		$(if $(HEADERS),--headers "$$HEADERS") $(if $(OVERRIDES),--overrides "$$OVERRIDES") $(ARGS)

check: $(DEV) ## Find what keeps it from working (STACK=name, else that of `make up`)
	@$(TOOL) check $(OF_STACK) $(ARGS)

parked: $(DEV) ## List what could not be handled (STACK=name, else that of `make up`; USER_ID= REASON= DELIVERY=)
	@$(TOOL) parked $(CHOSEN) $(ARGS)

redrive: $(DEV) ## Send it to its queues again (STACK=name, else that of `make up`; USER_ID= REASON= DELIVERY=)
	@$(TOOL) redrive $(CHOSEN) $(ARGS)

discard: $(DEV) ## Delete it for good (WHY="a reason"; STACK=name, else that of `make up`; USER_ID= REASON= DELIVERY=)
	@$(TOOL) discard --why "$$WHY" $(CHOSEN) $(ARGS)

trace: $(DEV) ## Show all that happened to a user (USER_ID= or DELIVERY=; STACK=name, else that of `make up`; DAYS=)
	@$(TOOL) trace $(CHOSEN) $(if $(DAYS),--days "$$DAYS") $(ARGS)

tail: $(DEV) ## Follow what happens (STACK=name, else that of `make up`; USER_ID= REASON=)
	@$(TOOL) tail $(OF_STACK) $(if $(USER_ID),--user "$$USER_ID") $(if $(REASON),--reason "$$REASON") $(ARGS)

console: $(DEV) ## Open a page over it, read-only without ARGS=--write (STACK=name, else that of `make up`)
	@$(TOOL) console $(OF_STACK) $(ARGS)

import: $(DEV) ## Import users from a file (FILE=; STACK=name, else that of `make up`; USER_ID=; ARGS="--dry-run --resume")
	@$(TOOL) import "$$FILE" $(OF_STACK) $(if $(USER_ID),--user "$$USER_ID") $(ARGS)

verify: $(DEV) ## Compare what Whop shows with a file (FILE=; STACK=name, else that of `make up`; ARGS="--sample 200 --repair")
	@$(TOOL) verify "$$FILE" $(OF_STACK) $(if $(USER_ID),--user "$$USER_ID") $(ARGS)

load: $(DEV) $(SAM) $(ENGINE) ## Post thousands of webhooks to the whole application on this machine (WEBHOOKS= USERS= CHARTS=)
	@PYTHONPATH=shared:tests:tests/programs:. .venv/bin/python -m load $(if $(WEBHOOKS),--webhooks $(WEBHOOKS)) $(if $(USERS),--users $(USERS)) \
		$(if $(CHARTS),--charts "$(CHARTS)")

bench: $(DEV) $(SAM) $(ENGINE) ## Measure cold starts, calls, batches, a backlog and growth (PARTS= for some alone, CHARTS=folder)
	@PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m bench $(PARTS) \
		$(if $(CHARTS),--charts "$(CHARTS)")

simulate: $(DEV) ## Live through thousands of random stories in virtual time (SEEDS=number of them, SEED=the first, or the only one)
	@PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m simulate $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED))

sandbox: $(DEV) ## Ask Whop's sandbox what its docs leave open, beside what the fake assumes (WHOP_SANDBOX_API_KEY and so on)
	@PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m sandbox

sdk: $(DEV) ## Read from the releases of Whop's official SDK what each sends, for a test that compares it with ours
	@mkdir -p .local/whop-sdk && for release in $$(PYTHONPATH=tests/programs .venv/bin/python -c \
		"import sdk_requests; print(*sdk_requests.RELEASES)"); do $(TOOLS)/bin/python -m pip download --quiet \
		--disable-pip-version-check --no-deps --only-binary :all: --dest .local/whop-sdk whop-sdk==$$release || exit 1; done
	@PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m sdk_requests

test: $(DEV) $(SAM) $(ENGINE) $(NODE) ## Run every test
	$(PYTEST) tests/unit tests/integration --numprocesses auto --dist worksteal
	@# Two stacks side by side: more of them would be too slow for the tests' patience on two cores.
	$(PYTEST) tests/e2e --numprocesses 2 --dist loadfile

containers: $(DEV) $(SAM) $(ENGINE) ## Run the built functions in Docker's containers (skipped where no daemon answers)
	$(PYTEST) tests/containers -rs

lint: $(DEV) ## Check style, format and types
	.venv/bin/ruff check functions whop_user_sync shared tests
	.venv/bin/ruff format --check functions whop_user_sync shared tests
	.venv/bin/mypy shared whop_user_sync tests
	@# Every function's module is called app, so each is checked on its own.
	@for function in functions/*/app.py; do echo ".venv/bin/mypy $$function"; .venv/bin/mypy "$$function" || exit 1; done

validate: $(SAM) $(CHECKOV) ## Check the template, for errors and for what is not safe
	.local/sam/bin/sam validate --lint
	.local/checkov/bin/checkov --config-file .checkov.yaml
	@# Once more with all that is off by default.
	@{ for name in ImportEnabled AccessLogs Tracing; do echo "/^  $$name:/,/Default:/s/'false'/'true'/"; done; \
		echo "/^  AccountLinkHosts:/,/Default:/s/''/app.example.com/"; \
		echo "/^  PayoutTokenActions:/,/Default:/s/''/identity:read/"; \
		echo "/^  PayoutsApiKey:/,/Default:/s/shared/separate/"; \
		echo "/^  AnnounceTo:/,/Default:/s/none/webhook/"; \
		echo "/^  WhopWebhooks:/,/Default:/s/'false'/'true'/"; } \
		| sed -f /dev/stdin template.yaml > .local/everything-on.yaml
	.local/sam/bin/sam validate --lint --template .local/everything-on.yaml
	.local/checkov/bin/checkov --config-file .checkov.yaml --file .local/everything-on.yaml
	.local/sam/bin/python tests/programs/cfn_guard.py

build: $(SAM) ## Build what would be deployed, into .aws-sam/build
	$(WITH_TOOLS) .local/sam/bin/sam build

lock: $(UV) ## Pin the newest version of every package
	$(call pin,layer,shared/requirements.txt)
	$(call pin,dev,tests/requirements-dev.txt,--constraint shared/requirements.txt)
	$(call pin,sam,tests/requirements-sam.txt)
	$(call pin,checkov,tests/requirements-checkov.txt)
	$(call pin,engine,tests/requirements-engine.txt)

define pin
$(UV) pip compile --quiet --upgrade --group pyproject.toml:$(1) $(3) --python-version 3.13 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" --output-file $(2)
endef

# -- what the targets above stand on: four environments, since their packages contradict each other -----------------

# A Python with pip, which the layer's build needs and a system's own may lack.
$(UV):
	@echo "setting up tools ..." && python=$$(.ci/find-python) && "$$python" -m venv --clear $(TOOLS) \
		&& $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(DEV): tests/requirements-dev.txt | $(UV)
	@$(call environment,.venv,tests and checks)

$(SAM): tests/requirements-sam.txt | $(UV)
	@$(call environment,.local/sam,SAM)

$(CHECKOV): tests/requirements-checkov.txt | $(UV)
	@$(call environment,.local/checkov,the security check)

$(ENGINE): tests/requirements-engine.txt | $(UV)
	@$(call environment,.local/engine,the local AWS)

# What tests need of npm. Without it, or out of its reach, they say so and are skipped.
$(NODE): tests/node/package-lock.json
	@mkdir -p $(@D) && cp tests/node/*.json $(@D)
	@if ! command -v npm >/dev/null; then echo "npm is not installed: what needs it is not tested"; \
	elif npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo "npm cannot install what some tests need: they are skipped"; fi

define environment
echo "setting up $(2) ..." \
	&& $(UV) venv --quiet --clear --python $(TOOLS)/bin/python $(1) \
	&& $(UV) pip sync --quiet --require-hashes --python $(1)/bin/python $< && touch $@
endef
