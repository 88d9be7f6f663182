--- Classes of processes that connect anew in their process.
--
-- What a child inherits of a database connection or a file is shared with its
-- parent, and of no use there. So what the object holds is described before
-- the fork, by its owner, and connected in the child, before its first
-- `__prerun__`. What was inherited stays as it is until the child ends: to
-- close it might close the parent's.
-- @classmod suitkaise.processing.autoreconnect

local class = require "suitkaise.class"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"

local autoreconnect = {}

-- What a class has in this field -> auth. Secrets do not travel with a class;
-- its copies in processes that were forked later find them by this.
local FIELD = "__autoreconnect"
local auths = {}
local NO_AUTH = {}

-- In a child: what it inherited.
local kept = {}

--- In the owner, before the fork: what the child is to connect.
-- -> a table for `connect`; nil when its class does not ask for it.
-- @local
function autoreconnect.plan(object)
  local id = getmetatable(object)[FIELD]
  if not id then return nil end
  local resources = require "suitkaise.cerial.resources"
  require "suitkaise.cerial" -- knows files, sockets and databases
  return { auth = auths[id] or NO_AUTH, live = resources.plan(object) }
end

--- In the child, before its first `__prerun__`.
-- Raises the error of a connection that cannot be made.
-- @local
function autoreconnect.connect(object, plan)
  local resources = require "suitkaise.cerial.resources"
  kept[#kept + 1] = plan
  resources.reconnect_all(object, plan.auth, plan.live)
end

local function is_class(of)
  local meta = type(of) == "table" and getmetatable(of)
  return type(meta) == "table" and rawget(meta, "__call") == class.construct
end

local function check_class(of)
  if is_class(of) and errors.is(setmetatable({}, of), "Skprocess") then
    return
  end
  errors.argument("autoreconnect", "Class", of, "a class below Skprocess",
                  "caller")
end

--- Make a class's processes connect anew to what its objects hold. What
-- `auth` says is not part of the class when that is serialized: in a Pool's
-- workers it is known if they were forked afterwards, or load the class by a
-- module.
-- @function autoreconnect
-- @tparam[opt] table auth see @{suitkaise.cerial.reconnect_all}
-- @treturn function takes the class, and returns it
-- @raise ArgumentError
-- @usage local Loader = sk.autoreconnect{
--   ["luasql.postgres"] = { ["*"] = "secret" },
-- }(sk.Skprocess:extend "Loader")
local function call(_, auth)
  if auth ~= nil and (type(auth) ~= "table" or is_class(auth)) then
    errors.argument("autoreconnect", "auth", auth, "a table (the class comes "
                    .. "after it: autoreconnect{}(Class))", "caller")
  end
  return function(of)
    check_class(of)
    local id = ("%s:%d"):format(core.generation(), #auths)
    auths[id], auths[#auths + 1] = auth or {}, id
    of[FIELD] = id
    return of
  end
end

return setmetatable(autoreconnect, { __call = call })
