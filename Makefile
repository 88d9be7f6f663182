# suitkaise: see `make help`. Folders in mk/ and doc/building.md explain more.

BUILD ?= build
PREFIX ?= /usr/local
LUA ?= luajit
DIR ?= /usr/include

CC ?= cc
CFLAGS ?= -O2
AR ?= ar
LUAS := luajit lua5.1 lua5.3 lua5.4

# For a build inside another target: as many jobs as cores, or as told.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell getconf \
  _NPROCESSORS_ONLN))
BUILD_FIRST = @$(MAKE) --no-print-directory $(JOBS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

include mk/compile.mk
include mk/check.mk
include mk/install.mk
-include $(filter-out mk/compile.mk mk/check.mk mk/install.mk, \
  $(wildcard mk/*.mk))

.PHONY: help demo doc clean

help:
	@cat tools/help.txt

demo:
	@tools/setup demo
	$(BUILD_FIRST) luajit
	@tools/with-lua luajit $(BUILD) examples/codestats.lua "$(DIR)"

# The public modules are the files at the top, and these classes of theirs.
DOC_CLASSES = async/event async/queue async/semaphore async/task \
  circuit/call processing/autoreconnect

doc:
	@tools/setup doc
	@rm -rf $(BUILD)/doc $(BUILD)/doc-source
	@mkdir -p $(BUILD)/doc $(BUILD)/doc-source/suitkaise
	@cp lua/suitkaise/*.lua $(BUILD)/doc-source/suitkaise/
	@for name in $(DOC_CLASSES); do \
	  mkdir -p "$(BUILD)/doc-source/suitkaise/$${name%/*}"; \
	  cp lua/suitkaise/$$name.lua "$(BUILD)/doc-source/suitkaise/$$name.lua"; \
	done
	@cp config.ld $(BUILD)/doc-source/
	@cd $(BUILD)/doc-source && \
	  ldoc --quiet --fatalwarnings --testing --dir $(abspath $(BUILD))/doc .
	@echo "$(BUILD)/doc/index.html"

clean:
	rm -rf $(BUILD)
