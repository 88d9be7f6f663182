--- suitkaise: parallel work, shared state and background processes.
-- Everything is a field of this module and loaded when it is first read; what
-- is not described here is on the page of the module that it comes from.
-- `sk.version` is a string such as `"0.1.0"`.
-- @module suitkaise
-- @usage local sk = require "suitkaise"
-- local hits = sk.Counter(0)

local options = require "suitkaise.options"
local errors = require "suitkaise.errors"

-- field = { module, field of that module (nil: the module itself) }
local FIELDS = {
  getpid = { "suitkaise.core", "getpid" },
  cpu_count = { "suitkaise.core", "cpu_count" },
  errors = { "suitkaise.errors" },
  class = { "suitkaise.class" },
  is = { "suitkaise.is" },
  cerial = { "suitkaise.cerial" },
  shared = { "suitkaise.shared" },
  Counter = { "suitkaise.shared", "Counter" },
  Flag = { "suitkaise.shared", "Flag" },
  Progress = { "suitkaise.shared", "Progress" },
  Pool = { "suitkaise.pool" },
  skfunction = { "suitkaise.skfunction" },
  skf = { "suitkaise.skfunction", "skf" },
  Share = { "suitkaise.share" },
  Dict = { "suitkaise.shared.collections", "Dict" },
  List = { "suitkaise.shared.collections", "List" },
  Results = { "suitkaise.shared.collections", "Results" },
  increment = { "suitkaise.access", "increment" },
  update = { "suitkaise.access", "update" },
  call = { "suitkaise.access", "call" },
  wait_for = { "suitkaise.access", "wait_for" },
  pairs = { "suitkaise.access", "pairs" },
  ipairs = { "suitkaise.access", "ipairs" },
  len = { "suitkaise.access", "len" },
  insert = { "suitkaise.access", "insert" },
  remove = { "suitkaise.access", "remove" },
  snapshot = { "suitkaise.access", "snapshot" },
  sktime = { "suitkaise.sktime" },
  circuit = { "suitkaise.circuit" },
  Circuit = { "suitkaise.circuit", "Circuit" },
  Skprocess = { "suitkaise.skprocess" },
  Pipe = { "suitkaise.pipe" },
  autoreconnect = { "suitkaise.processing.autoreconnect" },
  processing = { "suitkaise.processing" },
  interrupts = { "suitkaise.processing", "interrupts" },
  async = { "suitkaise.async" },
}

--- The number of this process.
-- @function getpid
-- @treturn int
-- @usage print(sk.getpid())

--- How many processors this process may use.
-- @function cpu_count
-- @treturn int
-- @usage local pool = sk.Pool{ workers = 2 * sk.cpu_count() }

local sk = { version = "0.1.0" }

-- Names that begin with two underscores are nil: libraries look for them.
local function is_probe(name)
  return type(name) ~= "string" or name:sub(1, 2) == "__"
end

local function load_field(self, name)
  local place = FIELDS[name]
  if not place then
    if is_probe(name) then return nil end
    errors.raise("ArgumentError", {
      message = "suitkaise has no " .. errors.show(name)
        .. options.hint(name, options.names(FIELDS)),
      argument = name,
    }, 2)
  end
  local value = require(place[1])
  if place[2] then value = value[place[2]] end
  rawset(self, name, value)
  return value
end

return setmetatable(sk, { __index = load_field })
