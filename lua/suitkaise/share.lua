--- Shared state that reads like a table: every process sees it, and no write
-- that was made is lost, whoever is killed.
-- @module suitkaise.share
-- @usage local share = sk.Share()
-- share.config = { fps = 60 }
-- sk.increment(share.config, "fps")
-- print(share.config.fps) --> 61

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local options = require "suitkaise.options"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"
local serve = require "suitkaise.share.serve"
local values = require "suitkaise.share.values"
require "suitkaise.share.object"

local quick, states = root.quick, proxy.states

local READ_TIMEOUT = 30
local STOP_TIMEOUT = 5
local PID_TIMEOUT = 2

errors.define("ShareCallError", "ShareError")

local Share = { __name = "Share" }

-- ---- making one ----

local OPTIONS = {
  name = { type = "string" },
  max_bytes = { type = "integer", min = 65536 },
  max_processes = { type = "integer", min = 1 },
  read_timeout = { type = "number", min = 0, default = READ_TIMEOUT },
}

local OPEN_OPTIONS = { read_timeout = OPTIONS.read_timeout }

-- The root of a share that `get`, a function of the core, makes or finds; or
-- nil, message, code.
local function new_root(get, o)
  local self = {
    read_timeout = o.read_timeout, name = o.name, classes_made = 0,
    new_classes = {},
    classes = setmetatable({}, { __mode = "v" }),
    tokens = setmetatable({}, { __mode = "k" }),
  }
  local handle, message, code =
    get(o, serve.make(self), values.describer(self), values.namer(self))
  if not handle then return nil, message, code end
  self.handle, self.id = handle, handle:where()
  self.pointer = quick and quick.pointer(handle)
  root.by_id[self.id] = self
  return self
end

-- The proxy of a whole share.
local function proxy_of(self)
  return proxy.make(Share, {
    root = self, path = "", depth = 0, metatable = Share,
    where = self.name and "share " .. errors.show(self.name) or "share",
  })
end

local NAME_CODES = {
  SKE_BUSY = "the name is in use; Share.open uses the share that has it",
  SKE_ABSENT = "there is no share of that name",
}

local function refuse_name(fname, name, message, code)
  if code == "SKE_INVAL" then
    errors.argument(fname, "name", name, "1 to 64 of A-Z a-z 0-9 _ . - and "
                    .. "not begin with a dot", "caller")
  end
  root.fail("share " .. errors.show(name), NAME_CODES[code] or message,
            not NAME_CODES[code] and code or nil)
end

-- ---- its life ----

local methods = {}

local function check_timeout(name, timeout)
  if timeout ~= nil and (type(timeout) ~= "number" or not (timeout >= 0)) then
    errors.argument("Share:" .. name, "timeout", timeout,
                    "a number of seconds of at least 0", "caller")
  end
end

local function state_of(self, name)
  local st = states[self]
  if not st or st.metatable ~= Share then
    errors.argument("Share:" .. name, "self", self, "a Share", "caller")
  end
  return st
end

--- Start the coordinator, unless it runs. What was queued takes effect.
-- @function Share:start
-- @treturn Share itself
-- @usage share:stop()
-- share.hits = 1 -- queued
-- share:start()
function methods.start(self)
  local st = state_of(self, "start")
  local ok, message, code = st.root.handle:start()
  if not ok then root.fail("share:start", message, code) end
  return self
end

--- Apply what is queued, then end the coordinator. Writes queue up from here
-- on and take effect on @{Share:start}. `share:exit` is the same.
-- @function Share:stop
-- @tparam[opt=5] number timeout seconds
-- @treturn boolean true when all was applied; false: the coordinator did not
--   end in time and was killed, the rest is applied after the next start
-- @usage local is_clean = share:stop()
function methods.stop(self, timeout)
  local st = state_of(self, "stop")
  check_timeout("stop", timeout)
  local deadline = core.now() + (timeout or STOP_TIMEOUT)
  root.settle(st.root, timeout or STOP_TIMEOUT)
  local left = math.max(deadline - core.now(), 0)
  local ok, message, code = st.root.handle:stop(left)
  if ok then return true end
  if code == "SKE_TIMEOUT" then return false end
  root.fail("share:stop", message, code)
end
methods.exit = methods.stop

--- Remove all that is in it.
-- @function Share:clear
-- @usage share:clear()
function methods.clear(self)
  local st = state_of(self, "clear")
  root.clear(st.root, "share:clear", "", 0)
end

--- The same share for tasks of sk.async: reads, calls and whatever else waits
-- let other tasks run meanwhile; so it is for the tables and objects that are
-- read from it, and for sk.increment and its like on them. Outside of tasks
-- all of it blocks. `sk.async.Share()` makes a share of this kind.
-- @function Share:asynced
-- @treturn Share
-- @usage sk.async.run(function() print(share:asynced().hits) end)
function methods.asynced(self)
  return proxy.asynced(state_of(self, "asynced"))
end

-- ---- errors that nobody waited for ----

-- What the core says of a write: where, and a code; of a call: what serve.lua
-- made of it.
local function to_error(report)
  if type(report) == "table" then return root.call_error(nil, report) end
  if type(report) ~= "string" then
    return errors.new("ShareError", "a queued write failed: error "
                      .. tostring(report))
  end
  local _, message, code, keys = core.share_report(report)
  local where = "share"
  for _, key in ipairs(keys) do where = root.where(where, key) end
  return root.to_error(where, message, code)
end

-- -> number -> error, in order, and their numbers
local function logged(st)
  local keys, reports = root.list(st.root, "share:errors", "", kinds.ERRORS)
  local order, by_number = {}, {}
  for i = 1, #(keys or order) do
    order[i] = keys[i]
    by_number[keys[i]] = reports[i]
  end
  table.sort(order)
  return order, by_number
end

--- The errors of calls and writes that nobody waited for: the last 64.
-- @function Share:errors
-- @treturn {error,...} oldest first
-- @usage for _, err in ipairs(share:errors()) do print(err) end
function methods.errors(self)
  local st = state_of(self, "errors")
  root.flush(st.root, "share:errors", st.root.read_timeout)
  local order, by_number = logged(st)
  local list = {}
  for i, number in ipairs(order) do
    list[i] = to_error(by_number[number])
  end
  return list
end

--- Wait until all that was queued, by any process, is applied. Raises the
-- first error of a call that nobody waited for; the next flush of this process
-- raises only newer ones.
-- @function Share:flush
-- @tparam[opt] number timeout seconds
-- @raise ShareTimeoutError, ShareStoppedError, ShareDownError
-- @usage share.stats:record(16.6)
-- share:flush() -- raises what the call raised
function methods.flush(self, timeout)
  local st = state_of(self, "flush")
  check_timeout("flush", timeout)
  root.flush(st.root, "share:flush", timeout or st.root.read_timeout)
  local order, by_number = logged(st)
  local seen = st.root.flushed or -1
  for _, number in ipairs(order) do
    if number > seen then
      st.root.flushed = order[#order]
      error(to_error(by_number[number]), 0)
    end
  end
end

--- Connect the live things (database connections, sockets) that objects hold,
-- where methods run; see cerial.reconnect_all. Nothing of `auth` is stored: a
-- coordinator that was replaced has to be told again.
-- @function Share:reconnect_all
-- @tparam[opt] table auth
-- @usage share:reconnect_all{ ["luasql.postgres"] = { ["*"] = "secret" } }
function methods.reconnect_all(self, auth)
  local st = state_of(self, "reconnect_all")
  if auth ~= nil and type(auth) ~= "table" then
    errors.argument("Share:reconnect_all", "auth", auth, "a table", "caller")
  end
  root.call(st.root, "share:reconnect_all", "", 0, nil, true, "reconnect",
            auth)
end

-- ---- fields that are not the user's ----

local properties = {}

-- Is there a coordinator, or will there be one at once?
function properties.is_running(st)
  return st.root.handle:state() == "running"
end

-- The coordinator's process; nil while the share is stopped. One that is
-- being started or replaced is waited for.
function properties.coordinator_pid(st)
  local handle, ends = st.root.handle, core.now() + PID_TIMEOUT
  local pid, before = handle:pid(), handle:await(0, 0)
  while not pid and handle:state() == "running" and core.now() < ends do
    before = handle:await(before, 0.01)
    pid = handle:pid()
  end
  return pid
end

function properties.has_error(st)
  root.flush(st.root, "share.has_error", st.root.read_timeout)
  return #(logged(st)) > 0
end

local reserved = {}
for name, method in each(methods) do reserved[name] = method end
for name in each(properties) do reserved[name] = false end

-- ---- reading and writing ----

Share.__index = proxy.indexer(function(st, key)
  local method = reserved[key]
  if method then return method end
  if method == false then return properties[key](st) end
  return proxy.read(st, key)
end)

local write = proxy.write

Share.__newindex = proxy.metamethod(function(self, key, value)
  if reserved[key] ~= nil then
    errors.raise("ArgumentError", {
      message = "share." .. key .. " is the Share's own and cannot be assigned",
      argument = key,
    }, "caller")
  end
  write(states[self], key, value)
end)

Share.__tostring = proxy.tostring
Share.__eq = proxy.equal
function Share.__close(self) methods.stop(self) end

Share.__len = proxy.metamethod(function(self)
  return proxy.length(states[self])
end)

values.plain[Share] = function(self) return proxy.copy_table(states[self]) end

-- ---- the module ----

--- Make a share and start its coordinator.
-- Fields: `is_running`; `coordinator_pid`, nil while it is stopped;
-- `has_error`, are there errors that nobody waited for? All other names are
-- the user's, but for those of the methods.
-- @function Share
-- @tparam[opt] table opts
-- @tparam[opt] string opts.name other programs of the same user can open it
--   by this name
-- @tparam[opt=256 MiB] int opts.max_bytes of stored values; only address
--   space until it is used
-- @tparam[opt=64] int opts.max_processes how many may write at once
-- @tparam[opt=30] number opts.read_timeout seconds after which a read that is
--   not served raises ShareTimeoutError
-- @treturn Share
-- @raise ArgumentError, ShareError
-- @usage local share = sk.Share{ name = "game", max_bytes = 64 * 1024 * 1024 }
local function new(_, opts)
  local o = options.check("Share", opts, OPTIONS, "caller")
  local self, message, code = new_root(core.share_create, o)
  if not self then
    if o.name then refuse_name("Share", o.name, message, code) end
    root.fail("Share", message, code)
  end
  return methods.start(proxy_of(self))
end

--- Use a named share that another program of the same user has made. Functions
-- and classes go by name only there, and no bytecode is believed.
-- @function Share.open
-- @tparam string name
-- @tparam[opt] table opts
-- @tparam[opt=30] number opts.read_timeout seconds
-- @treturn Share
-- @raise ArgumentError; ShareError when there is none, or it cannot be used
-- @usage local share = sk.Share.open("game")
function Share.open(name, opts)
  if type(name) ~= "string" then
    errors.argument("Share.open", "name", name, "a string", "caller")
  end
  local o = options.check("Share.open", opts, OPEN_OPTIONS, "caller")
  o.name = name
  local self, message, code = new_root(core.share_open, o)
  if not self then refuse_name("Share.open", name, message, code) end
  return proxy_of(self)
end

function root.attach(address)
  return new_root(core.share_attach, address)
end
proxy.Share = Share

setmetatable(Share, { __call = new })
require "suitkaise.share.travel"
return Share
