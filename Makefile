# Everything a developer does here; `make` alone lists it. What is missing is installed on first use, into this folder.

SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
TOOLS := .local/python
UV := $(TOOLS)/bin/uv
DEV := .venv/.installed
SAM := .local/sam/.installed
CHECKOV := .local/checkov/.installed
ENGINE := .local/engine/.installed

# Nothing here may reach anybody's AWS account, and nothing phones home. Only what is asked of a stack by its name, and
# nothing else in the same breath, goes by the AWS settings of whoever asks.
OPERATING := $(and $(STACK),$(if $(filter-out parked redrive trace import,$(or $(MAKECMDGOALS),help)),,yes))
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

# `make send` goes by what is said to it: a shell may well have a NAME or an EMAIL of its own.
$(foreach name,TYPE USER_ID NAME EMAIL,$(if $(filter command%,$(origin $(name))),,$(eval unexport $(name))))

LOCAL_STACK := PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m local_stack
# Without STACK it is the one that `make up` left running.
OPERATIONS := .venv/bin/python -m whop_user_sync
OF_STACK = $(if $(STACK),--stack "$(STACK)",--stack whop-user-sync-local --endpoint-url http://127.0.0.1:4566) \
	$(if $(USER_ID),--user "$(USER_ID)") $(if $(REASON),--reason "$(REASON)")
PYTEST := .venv/bin/python -m pytest --quiet
WITH_TOOLS := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" PYTHON="$(CURDIR)/$(TOOLS)/bin/python"

.PHONY: help demo up send down event preview parked redrive trace import load bench test lint validate build lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEV) $(SAM) $(ENGINE) ## Run the whole application on this machine and show what it does
	@$(LOCAL_STACK) demo

up: $(DEV) $(SAM) $(ENGINE) ## Start the whole application on this machine and leave it running (LISTEN=address)
	@$(LOCAL_STACK) up $(if $(LISTEN),--listen "$(LISTEN)")

send: $(DEV) ## Send it one signed webhook (TYPE=created|updated USER_ID= NAME= EMAIL= PICTURE=)
	@$(LOCAL_STACK) send

down: $(DEV) ## Stop what `make up` left running
	@$(LOCAL_STACK) down

event: $(DEV) ## Sign the sample events for now: a signature is good for five minutes
	@$(LOCAL_STACK) event

preview: $(DEV) ## Show what a webhook's body would become (PRESET= FILE= HEADERS= SECRET= OVERRIDES= SIGNATURE_...=)
	@PYTHONPATH=shared .venv/bin/python -m whop_user_sync.preview "$(FILE)" --preset "$(PRESET)" \
		$(if $(HEADERS),--headers "$(HEADERS)") $(if $(SECRET),--secret "$$SECRET") $(if $(OVERRIDES),--overrides "$$OVERRIDES")

parked: $(DEV) ## List what could not be handled (STACK=name, else that of `make up`; USER_ID= REASON=)
	@$(OPERATIONS) parked $(OF_STACK)

redrive: $(DEV) ## Send it round again (STACK=name, else that of `make up`; USER_ID= REASON=)
	@$(OPERATIONS) redrive $(OF_STACK)

trace: $(DEV) ## Show all that happened to a user (USER_ID= or DELIVERY=; STACK=name, else that of `make up`; DAYS=)
	@$(OPERATIONS) trace $(OF_STACK) $(if $(DELIVERY),--delivery "$(DELIVERY)") $(if $(DAYS),--days "$(DAYS)")

import: $(DEV) ## Import users from a file, or compare them (FILE= STACK=name, USER_ID= ARGS="--dry-run | --resume | --verify ...")
	@$(OPERATIONS) import "$(FILE)" $(OF_STACK) $(ARGS)

load: $(DEV) $(SAM) $(ENGINE) ## Post thousands of webhooks to the whole application on this machine (WEBHOOKS= USERS=)
	@PYTHONPATH=shared:tests:tests/programs:. .venv/bin/python -m load $(if $(WEBHOOKS),--webhooks $(WEBHOOKS)) $(if $(USERS),--users $(USERS))

bench: $(DEV) $(SAM) $(ENGINE) ## Measure cold starts, calls, batches, a backlog and growth (PARTS= for some alone)
	@PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m bench $(PARTS)

test: $(DEV) $(SAM) $(ENGINE) ## Run every test
	$(PYTEST) tests/unit tests/integration --numprocesses auto
	$(PYTEST) tests/e2e

lint: $(DEV) ## Check style, format and types
	.venv/bin/ruff check functions whop_user_sync shared tests
	.venv/bin/ruff format --check functions whop_user_sync shared tests
	.venv/bin/mypy shared whop_user_sync tests
	@# Every function's module is called app, so each is checked on its own.
	@for function in functions/*/app.py; do echo ".venv/bin/mypy $$function"; .venv/bin/mypy "$$function" || exit 1; done

validate: $(SAM) $(CHECKOV) ## Check the template, for errors and for what is not safe
	.local/sam/bin/sam validate --lint
	.local/checkov/bin/checkov --config-file .checkov.yaml

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

define environment
echo "setting up $(2) ..." \
	&& $(UV) venv --quiet --clear --python $(TOOLS)/bin/python $(1) \
	&& $(UV) pip sync --quiet --require-hashes --python $(1)/bin/python $< && touch $@
endef
