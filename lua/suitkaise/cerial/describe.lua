--- How what is no plain value travels: called by the C encoder, which writes
-- what the answers say.
-- @module suitkaise.cerial.describe
-- @local

local cdata = require "suitkaise.cerial.cdata"
local failure = require "suitkaise.cerial.failure"
local kinds = require "suitkaise.cerial.kinds"
local names = require "suitkaise.cerial.names"
local registry = require "suitkaise.cerial.registry"
local resources = require "suitkaise.cerial.resources"
local each = require "suitkaise.each"
local identity = require "suitkaise.cerial.identity"

local getmetatable = debug.getmetatable
local string_dump = string.dump
local HOW = { auto = 1, reference = 2, full = 3, refuse = 4 }

local describe = { HOW = HOW }

-- Bytecode of functions that were sent, so that a function that is sent
-- often is dumped once.
local dumps = setmetatable({}, { __mode = "k" })

--- A table's name: -> kind, name; or nil, and its identity if that is asked
-- for.
function describe.name(t, stamp, is_identified)
  if t == _G then return kinds.GLOBALS end
  local name = registry.names[t]
  if name then return kinds.CLASS, name end
  names.refresh(stamp)
  name = names.module(t)
  if name then return kinds.MODULE, name end
  name = names.path(t)
  if name then return kinds.CLASS, name end
  return nil, is_identified and identity.of(t) or nil
end

-- ---- objects ----

local function copy(t)
  local state = {}
  for k, v in each(t) do state[k] = v end
  return state
end

local function hooked(class, value, serialize)
  local ok, state = pcall(serialize, value)
  if not ok then
    return false, "its __serialize raised an error: " .. tostring(state),
           state
  end
  if rawequal(state, value) and type(value) == "table" then
    state = copy(value) -- the fields without the class
  end
  return kinds.HOOK, class, state
end

-- kind, class, state of a value whose type says how it travels; or nil.
local function by_type(value, meta)
  local handle = registry.metatables[meta]
  if handle then return hooked(handle.name, value, handle.serialize) end
  local serialize = registry.field(meta, "__serialize")
  if serialize ~= nil then return hooked(meta, value, serialize) end
  return resources.describe(value, meta)
end

--- A table with a metatable: nil when it travels as its fields.
function describe.object(value, meta)
  return by_type(value, meta)
end

-- ---- functions ----

local function refuse_function(fn, how)
  if how == HOW.refuse then
    return false, 'function cannot be serialized: functions = "refuse"'
  end
  return false, "function cannot be serialized by reference: "
    .. names.why_not(fn)
end

-- One string for equal bytecode: long strings are not interned by PUC Lua, and
-- the encoder knows what it has sent by address.
local MAX_CODES = 256
local codes, n_codes = {}, 0

local function unique(code)
  if codes[code] then return codes[code] end
  if n_codes == MAX_CODES then codes, n_codes = {}, 0 end
  codes[code], n_codes = code, n_codes + 1
  return code
end

local function dump(fn)
  local code = dumps[fn]
  if not code then
    local ok
    ok, code = pcall(string_dump, fn)
    if not ok then return nil end
    code = unique(code)
    dumps[fn] = code
  end
  return code
end

local function describe_function(fn, stamp, how)
  if how == HOW.refuse then return refuse_function(fn, how) end
  if how ~= HOW.full or names.is_builtin(fn) then
    local name = names.path(fn)
    if name then return kinds.REFERENCE, name end
    if not stamp then return nil end -- ask again, with the stamp
    names.refresh(stamp)
    name = names.path(fn)
    if name then return kinds.REFERENCE, name end
    if how == HOW.reference then return refuse_function(fn, how) end
  end
  local code = dump(fn)
  if code then return kinds.FULL, code end
  return false, "C function cannot be serialized: " .. names.why_not(fn)
end

-- ---- the rest ----

local STREAMS = {
  [io.stdin] = "io:stdin", [io.stdout] = "io:stdout",
  [io.stderr] = "io:stderr",
}

local function describe_userdata(value)
  local meta = getmetatable(value)
  local stream = STREAMS[value]
  if stream then return kinds.REFERENCE, stream end
  if type(meta) == "table" then
    local kind, a, b = by_type(value, meta)
    if kind ~= nil then return kind, a, b end
  end
  return false, "userdata cannot be serialized; give its metatable "
    .. "__serialize and __deserialize, or teach cerial.resource about it"
end

--- Any other value: -> kind and what belongs to it; or false, reason; or nil
-- when there is no stamp and it takes one.
function describe.special(value, stamp, how)
  local what = type(value)
  if what == "function" then return describe_function(value, stamp, how) end
  if what == "cdata" then return cdata.describe(value, hooked) end
  if what == "thread" then
    return false, "coroutine cannot be serialized; pass the function that "
      .. "it runs instead"
  end
  if what == "userdata" and getmetatable(value) ~= nil then
    return describe_userdata(value)
  end
  return false, "light userdata cannot be serialized; it is an address of "
    .. "this process"
end

--- Raise the SerializationError.
describe.fail = failure.serialization

return describe
