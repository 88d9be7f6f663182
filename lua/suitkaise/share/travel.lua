-- Proxies as they travel: by handle, so that every holder sees the same. A
-- process that does not have the share yet finds it through one that has.

local errors = require "suitkaise.errors"
local object = require "suitkaise.share.object"
local proxy = require "suitkaise.share.proxy"
local registry = require "suitkaise.cerial.registry"
local root = require "suitkaise.share.root"
local values = require "suitkaise.share.values"

local states = proxy.states

local travel = {}

-- Where the share is found: what stands for it while it travels.
local function address_of(self)
  local id, pid, fd = self.handle:where()
  return {
    id = id, pid = pid, fd = fd, coordinator = self.handle:pid(),
    name = self.name, read_timeout = self.read_timeout,
    is_async = self.is_async,
  }
end

local function find(address)
  local found = root.by_id[address.id]
  if found then return found end
  local why
  found, why = root.attach(address)
  if not found and address.coordinator then
    -- its maker is gone: the coordinator has it, too
    address.pid, address.fd = address.coordinator, -1
    found, why = root.attach(address)
  end
  if found then return found end
  errors.raise("DeserializationError", "the share of a handle cannot be "
    .. "reached: " .. tostring(why))
end

--- The share at an address, in this process.
function travel.find(address)
  local found = find(address)
  return address.is_async and root.asynced(found) or found
end

--- Let proxies of a metatable travel under a name of `module`; `restore`
-- makes one from a root and what `describe` said of it.
function travel.add(module, name, metatable, describe, restore)
  metatable.__deserialize = function(state)
    return restore(travel.find(state[1]), state[2])
  end
  registry.handle(module .. ":" .. name, {
    match = metatable, deserialize = metatable.__deserialize,
    serialize = function(self)
      local st = states[self]
      return { address_of(st.root), describe(st) }
    end,
  })
  travel[name] = metatable
end

--- What most proxies say of themselves.
function travel.describe(st)
  return { path = st.path, depth = st.depth, where = st.where }
end

--- -> a function that makes such a proxy again.
function travel.restore(metatable)
  return function(self, about)
    return proxy.make(metatable, {
      root = self, path = about.path, depth = about.depth,
      where = about.where, metatable = metatable,
    })
  end
end

local HERE = "suitkaise.share.handles"

for name, metatable in pairs { Share = proxy.Share, Table = proxy.Table } do
  travel.add(HERE, name, metatable, travel.describe,
             travel.restore(metatable))
end

-- ---- objects ----

local function describe_object(st)
  local about = travel.describe(st)
  about.token, about.is_whole = values.token(st.root, st.class), st.is_whole
  return about
end

local function restore_object(self, about)
  return proxy.make(proxy.Object, {
    root = self, path = about.path, depth = about.depth, where = about.where,
    metatable = proxy.Object, is_whole = about.is_whole,
    class = values.class(self, about.where, about.token),
  })
end

travel.add(HERE, "Object", proxy.Object, describe_object, restore_object)

-- What is inside an object: the object, and the way from there.
local function describe_inner(st)
  local about = describe_object(st.owner)
  about.keys = st.keys
  return about
end

local function restore_inner(self, about)
  local at = restore_object(self, about)
  for _, key in ipairs(about.keys) do at = at[key] end
  return at
end

travel.add(HERE, "FieldTable", object.FieldTable, describe_inner,
           restore_inner)
travel.add(HERE, "FieldObject", object.FieldObject, describe_inner,
           restore_inner)

return travel
