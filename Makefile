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

# Pages of what users meet: the modules at the top, and the classes (@classmod)
# in folders, which hold private parts besides.
doc:
	@tools/setup doc
	@rm -rf $(BUILD)/doc $(BUILD)/doc-source
	@mkdir -p $(BUILD)/doc $(BUILD)/doc-source
	@cp config.ld $(BUILD)/doc-source/
	@cd lua && to=$(abspath $(BUILD))/doc-source && \
	  for f in $$(grep -lE '^-- @(module|classmod) ' suitkaise/*.lua) \
	    $$(grep -l '^-- @classmod ' suitkaise/*/*.lua); do \
	    mkdir -p $$to/$$(dirname $$f) && cp $$f $$to/$$f || exit 1; done
	@cd $(BUILD)/doc-source && \
	  ldoc --quiet --fatalwarnings --testing --dir $(abspath $(BUILD))/doc .
	@echo "$(BUILD)/doc/index.html"

clean:
	rm -rf $(BUILD)
