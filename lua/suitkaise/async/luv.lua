-- luv, with a loop of this process's own.
--
-- After a fork the loop that luv knows is the parent's: its timers would fire
-- twice, its sockets would be read by two. The child keeps that loop as it
-- is, untouched and for ever, and luv gets a fresh one. The functions of luv
-- that somebody has kept work with the fresh one too.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"

local FOREIGN = "suitkaise.foreign_loop" -- set in a child by core.fork
local CONTEXT = "luv_context"            -- where luv keeps its loop

local luv = {}
local kept = {} -- what must not be collected: that would touch the loop
local opened_in -- generation

local function load()
  -- luv calls back in the coroutine that loaded it: it must not go
  kept[#kept + 1] = coroutine.running()
  local ok, module = pcall(require, "luv")
  if ok then return module end
  errors.raise("Error", {
    message = "async: needs luv (Debian: lua-luv; LuaRocks: luv): "
      .. tostring(module),
  }, "caller")
end

-- Leave the parent's loop alone from here on.
local function renew(old)
  local registry = debug.getregistry()
  old.walk(function(handle) kept[#kept + 1] = handle end)
  kept[#kept + 1] = registry[CONTEXT]
  kept[#kept + 1] = old._loop
  registry[CONTEXT] = nil
  package.loaded.luv = nil
  local fresh = load()
  old._loop = fresh._loop
  package.loaded.luv = old
  return old
end

--- luv. In a child of core.fork it is not the parent's loop that it works on.
function luv.open()
  local registry = debug.getregistry()
  local foreign = registry[FOREIGN]
  if not foreign and opened_in and opened_in ~= core.generation() then
    foreign = package.loaded.luv -- forked by somebody else
  end
  registry[FOREIGN] = nil
  local module = foreign and renew(foreign) or load()
  opened_in = core.generation()
  return module
end

return luv
