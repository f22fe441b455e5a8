# Everything a developer does here. `make help` lists it; whatever is missing is installed on first use, into this folder.

SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
TOOLS := .local/python
UV := $(TOOLS)/bin/uv
DEV := .venv/.installed
SAM := .local/sam/.installed
ENGINE := .local/engine/.installed

# Nothing here may reach an AWS account, and nothing phones home.
unexport AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_REGION VIRTUAL_ENV PYTHONPATH
export AWS_ACCESS_KEY_ID := test
export AWS_SECRET_ACCESS_KEY := test
export AWS_DEFAULT_REGION := us-east-1
export AWS_CONFIG_FILE := /dev/null
export AWS_SHARED_CREDENTIALS_FILE := /dev/null
export AWS_EC2_METADATA_DISABLED := true
export SAM_CLI_TELEMETRY := 0

LOCAL_STACK := PYTHONPATH=shared:tests .venv/bin/python -m local_stack
PYTEST := .venv/bin/python -m pytest
WITH_TOOLS := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" PYTHON="$(CURDIR)/$(TOOLS)/bin/python"

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: $(DEV) $(SAM) $(ENGINE) ## Run the whole application on this machine and show what it does
	@$(LOCAL_STACK) demo

.PHONY: up
up: $(DEV) $(SAM) $(ENGINE) ## Start the whole application on this machine and leave it running (LISTEN=address)
	@$(LOCAL_STACK) up $(if $(LISTEN),--listen "$(LISTEN)")

.PHONY: send
send: $(DEV) ## Send it one signed webhook (USER_ID= NAME= EMAIL= PICTURE= TYPE=created|updated)
	@$(LOCAL_STACK) send

.PHONY: down
down: $(DEV) ## Stop what `make up` left running
	@$(LOCAL_STACK) down

.PHONY: event
event: $(DEV) ## Sign the sample events for now: a signature is good for five minutes
	@$(LOCAL_STACK) event

##@ Work on it

.PHONY: test
test: $(DEV) $(SAM) $(ENGINE) ## Run every test
	$(PYTEST) tests/unit tests/integration --numprocesses auto --quiet
	$(PYTEST) tests/e2e --quiet

.PHONY: lint
lint: $(DEV) ## Check style, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy shared/whop_sync tests
	@set -e; for function in functions/*/app.py; do echo "mypy $$function"; .venv/bin/mypy "$$function"; done

.PHONY: validate
validate: $(SAM) ## Check the template
	.local/sam/bin/sam validate --lint

.PHONY: build
build: $(SAM) ## Build what would be deployed, into .aws-sam/build
	$(WITH_TOOLS) .local/sam/bin/sam build

.PHONY: lock
lock: $(UV) ## Pin the newest version of every package
	$(call pin,layer,shared/requirements.txt)
	$(call pin,dev,tests/requirements-dev.txt,--constraint shared/requirements.txt)
	$(call pin,sam,tests/requirements-sam.txt)
	$(call pin,engine,tests/requirements-engine.txt)

define pin
$(UV) pip compile --quiet --upgrade --group pyproject.toml:$(1) $(3) --python-version 3.13 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" --output-file $(2)
endef

# -- what the targets above stand on ---------------------------------------------------------------------------------

# The tools' Python has pip, which the layer's build needs and the Python of a system may lack.
$(UV):
	@python=$$(.ci/find-python) && echo "setting up tools ..." && "$$python" -m venv --clear $(TOOLS) \
		&& $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(DEV): tests/requirements-dev.txt | $(UV)
	@$(call environment,.venv,tests and checks)
$(SAM): tests/requirements-sam.txt | $(UV)
	@$(call environment,.local/sam,SAM)
$(ENGINE): tests/requirements-engine.txt | $(UV)
	@$(call environment,.local/engine,the local AWS engine)

define environment
echo "setting up $(2) ..." \
	&& $(UV) venv --quiet --clear --python $(TOOLS)/bin/python $(1) \
	&& $(UV) pip sync --quiet --require-hashes --python $(1)/bin/python $< && touch $@
endef
