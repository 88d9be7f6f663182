--- Any Lua value to bytes and back, exactly, with identity kept.
-- @module suitkaise.cerial
-- @usage local cerial = require "suitkaise.cerial"
-- local bytes = cerial.serialize { 1, 2, name = "rex" }
-- assert(cerial.deserialize(bytes).name == "rex")

local core = require "suitkaise.core"
local describe = require "suitkaise.cerial.describe"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local environment = require "suitkaise.cerial.environment"
local identity = require "suitkaise.cerial.identity"
local kinds = require "suitkaise.cerial.kinds"
local names = require "suitkaise.cerial.names"
local options = require "suitkaise.options"
local registry = require "suitkaise.cerial.registry"
local resolve = require "suitkaise.cerial.resolve"
local resources = require "suitkaise.cerial.resources"
local vm = require "suitkaise.cerial.vm"

local encode, decode = core.cerial_encode, core.cerial_decode
local HOW = describe.HOW
local unpack = table.unpack or unpack

local MAX_VALUES = 200 -- that a function may return on every Lua

local cerial = {}

local call = kinds.call
core.cerial_setup {
  [call.NAME] = describe.name,
  [call.OBJECT] = describe.object,
  [call.SPECIAL] = describe.special,
  [call.FAIL] = describe.fail,
  [call.RESOLVE] = resolve.name,
  [call.REVIVE] = resolve.revive,
  [call.STAND_IN] = resolve.stand_in,
  [call.BUILD] = resolve.build,
  [call.REPLACE] = resolve.replace,
  [call.REFUSE] = resolve.refuse,
  [call.VM] = vm,
  [call.REGISTERED] = registry.names,
  [call.ENVIRONMENT] = environment.narrow,
  [call.KNOWN] = identity.known,
}
require "suitkaise.cerial.builtin"

local SERIALIZE = {
  functions = {
    values = { "auto", "reference", "full", "refuse" }, default = "auto",
  },
  max_depth = { type = "integer", min = 1 },
  max_bytes = { type = "integer", min = 1 },
}

local DESERIALIZE = {
  trusted = { type = "boolean", default = false },
  max_depth = { type = "integer", min = 1 },
  max_bytes = { type = "integer", min = 1 },
}

-- ---- values to bytes ----

--- Turn a value into bytes.
-- @param value anything but coroutines, light userdata and userdata without
--   hooks, wherever in the value they are
-- @tparam[opt] table given
--   `functions`: `"auto"` (by reference where the receiver's `require` finds
--   the very same function, else in full), `"reference"`, `"full"`, `"refuse"`;
--   `max_depth`, `max_bytes`: refuse what is nested deeper or gets longer
-- @treturn string bytes
-- @raise SerializationError (`path`: where in the value)
-- @usage local bytes = cerial.serialize({ fps = 60 }, { functions = "refuse" })
function cerial.serialize(value, given)
  local bytes
  if given == nil then
    bytes = encode(value)
  else
    local o = options.check("serialize", given, SERIALIZE)
    bytes = encode(value, HOW[o.functions], o.max_depth, o.max_bytes)
  end
  return bytes
end

--- Turn several values, nil included, into bytes for @{deserialize_many}.
-- @param ... the values; what they share stays shared
-- @treturn string bytes
-- @raise SerializationError
-- @usage local bytes = cerial.serialize_many(nil, "two", nil)
-- print(cerial.deserialize_many(bytes)) --> nil two nil
function cerial.serialize_many(...)
  local bytes = encode({ n = select("#", ...), ... })
  return bytes
end

-- ---- bytes to values ----

local function check_bytes(name, bytes)
  if type(bytes) ~= "string" then
    errors.argument(name, "bytes", bytes, "a string", "caller")
  end
end

-- Is `trusted` the only option, and a good one? Then there is no more to
-- check: small values are read in less time than options are checked.
local function trusts_only(given)
  if type(given) ~= "table" then return false end
  local name, value = next(given)
  return name == "trusted" and type(value) == "boolean"
    and next(given, name) == nil
end

--- What core.cerial_encode takes after the value.
-- @local
function cerial.encode_options(name, given)
  if given == nil then return nil end
  local o = options.check(name, given, SERIALIZE, "caller")
  return HOW[o.functions], o.max_depth, o.max_bytes
end

--- What core.cerial_decode takes after the bytes.
-- @local
function cerial.decode_options(name, bytes, given)
  if type(bytes) ~= "string" then
    errors.argument(name, "bytes", bytes, "a string", "caller")
  end
  if given == nil then return nil end
  local o = options.check(name, given, DESERIALIZE, "caller")
  if o.max_bytes and #bytes > o.max_bytes then
    resolve.refuse(("%d bytes are more than max_bytes"):format(#bytes), 0)
  end
  return o.trusted, o.max_depth
end

local function read(name, bytes, given)
  check_bytes(name, bytes)
  if given == nil then return (decode(bytes)) end
  if trusts_only(given) then return (decode(bytes, given.trusted)) end
  local o = options.check(name, given, DESERIALIZE, 3)
  if o.max_bytes and #bytes > o.max_bytes then
    resolve.refuse(("%d bytes are more than max_bytes"):format(#bytes), 0)
  end
  return (decode(bytes, o.trusted, o.max_depth))
end

--- Make the value again that bytes hold.
-- @tparam string bytes
-- @tparam[opt] table given `trusted`: also functions, modules and classes
--   that nobody registered, which lets the bytes run code; `max_depth`,
--   `max_bytes`: refuse what is nested deeper or longer
-- @return the value
-- @raise DeserializationError, for any bytes at all
-- @usage local copy = cerial.deserialize(bytes, { trusted = true })
function cerial.deserialize(bytes, given)
  local value = read("deserialize", bytes, given)
  return value
end

--- The values of a table that serialize_many made.
-- @local
function cerial.many(values)
  local n = type(values) == "table" and rawget(values, "n")
  if type(n) ~= "number" or n < 0 or n > MAX_VALUES or n % 1 ~= 0 then
    resolve.refuse("these are not bytes of serialize_many", 0)
  end
  return unpack(values, 1, n)
end

--- The values of @{serialize_many}.
-- @tparam string bytes
-- @tparam[opt] table given see @{deserialize}
-- @return the values
-- @raise DeserializationError
-- @usage local ok, result = cerial.deserialize_many(bytes)
function cerial.deserialize_many(bytes, given)
  local values = read("deserialize_many", bytes, given)
  return cerial.many(values)
end

-- ---- names ----

local function check_name(fname, name)
  if type(name) ~= "string" or name == "" then
    errors.argument(fname, "name", name, "a string that is not empty", 3)
  end
end

--- Give a class a name by which its objects travel, also in bytes that are
-- not trusted. Both sides register it.
-- @tparam string name
-- @tparam table class the metatable of the objects (or middleclass's class);
--   on LuaJIT also a ctype: its values travel by value
-- @return class
-- @raise ArgumentError when another class has the name
-- @usage cerial.register("game.Player", Player)
function cerial.register(name, class)
  check_name("register", name)
  local is_ctype = type(class) == "cdata"
  if type(class) ~= "table" and not is_ctype then
    errors.argument("register", "class", class, "a table or a ctype", 2)
  end
  local known = registry.values[name]
  if known ~= nil and known ~= class then
    errors.argument("register", "name", name,
                    "a name that no other class has", 2)
  end
  if is_ctype then registry.add_ctype(name, class)
  else registry.add(name, class) end
  return class
end

cerial.handle = registry.handle

--- The name by which a function travels.
-- @tparam function fn
-- @treturn ?string "module:path"
-- @treturn ?string why it has none
-- @usage cerial.reference(require("socket.url").parse) --> "socket.url:parse"
function cerial.reference(fn)
  if type(fn) ~= "function" then
    errors.argument("reference", "fn", fn, "a function", 2)
  end
  names.refresh()
  local name = names.path(fn)
  if name then return name end
  return nil, names.why_not(fn)
end

-- ---- live things ----

local RESOURCE = { describe = "function", connect = "function" }

local function kind_of(type_of)
  if type(type_of) == "string" then return type_of end
  local name = registry.names[type_of] or rawget(type_of, "__name")
  if type(name) == "string" then return name end
  errors.argument("resource", "metatable", type_of,
                  "a name, or a metatable with a __name or registered", 3)
end

--- Teach cerial a type of live things (connections, handles, devices): in the
-- bytes each becomes a Reconnector.
-- @tparam table|string type_of the metatable of the things, or the name
--   under which the C library keeps it; the kind in `auth` is that name
-- @tparam table resource `describe(value) -> description; or nil, reason`: all
--   that is needed to make it again, except secrets;
--   `connect(description, auth) -> value; or nil, reason`
-- @raise ArgumentError
-- @usage cerial.resource("MyLib handle", {
--   describe = function(h) return { url = h:url() } end,
--   connect = function(d, password) return mylib.open(d.url, password) end,
-- })
function cerial.resource(type_of, resource)
  if type(type_of) ~= "table" and type(type_of) ~= "string" then
    errors.argument("resource", "metatable", type_of, "a metatable or a name",
                    2)
  end
  local checked = options.check("resource", resource, RESOURCE)
  for name in each(RESOURCE) do
    if not checked[name] then
      errors.argument("resource", name, nil, "a function", 2)
    end
  end
  resources.add(kind_of(type_of), type_of, checked)
end

--- Make every live thing again: replaces each Reconnector in `value`.
-- @param value
-- @tparam[opt] table auth by kind: a secret for all, or a table by the name
--   of the field (or upvalue) that holds it, with `"*"` for the others
-- @return value, or what replaces it when it is a Reconnector itself
-- @raise the error of a connection that cannot be made
-- @usage job = cerial.reconnect_all(job, {
--   ["luasql.postgres"] = { ["*"] = "secret" },
-- })
function cerial.reconnect_all(value, auth)
  if auth ~= nil and type(auth) ~= "table" then
    errors.argument("reconnect_all", "auth", auth, "a table", 2)
  end
  return resources.reconnect_all(value, auth)
end

-- ---- looking ----

--- Print the structure of bytes; nothing that they hold is built or run.
-- @tparam string bytes
-- @param[opt=io.stdout] out where to: anything with a method `write`
-- @treturn string what was printed
-- @raise DeserializationError
-- @usage cerial.inspect(cerial.serialize { fps = 60 })
function cerial.inspect(bytes, out)
  check_bytes("inspect", bytes)
  local text = require "suitkaise.cerial.inspect"(bytes)
  out = out or io.stdout
  out:write(text, "\n")
  return text
end

--- Bytes as JSON; what JSON has no word for becomes an object whose keys
-- begin with `$` (see doc/cerial.md).
-- @tparam string bytes
-- @treturn string
-- @raise DeserializationError
-- @usage print(cerial.to_json(cerial.serialize { 1, "two" })) --> [1,"two"]
function cerial.to_json(bytes)
  check_bytes("to_json", bytes)
  return (require "suitkaise.cerial.json"(bytes))
end

return cerial
