-- Objects of a share as the coordinator has them: live ones that methods are
-- called on, kept as long as nobody else changes what they are made from.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local kinds = require "suitkaise.share.kinds"
local resources = require "suitkaise.cerial.resources"
local values = require "suitkaise.share.values"

local SCALAR = { number = true, string = true, boolean = true }

local MOST_MIRRORS = 1000

local Mirror = {}
Mirror.__index = Mirror

-- ---- from the share ----

local function load_fields(self, handle)
  local keys, stored = handle:change_list(self.path, self.depth)
  local fields, last = {}, {}
  for i = 1, #keys do
    fields[keys[i]] = stored[i]
    if SCALAR[type(stored[i])] then last[keys[i]] = stored[i] end
  end
  local token = fields[kinds.CLASS_FIELD]
  fields[kinds.CLASS_FIELD] = nil
  self.last, self.known = last, {}
  for key in each(fields) do self.known[key] = true end
  self.object = setmetatable(fields, values.class(self.root, "object", token))
end

function Mirror:load()
  local handle = self.root.handle
  local kind, value = handle:change_get(self.path, self.depth)
  self.is_whole = kind == kinds.WHOLE
  if self.is_whole then
    self.object = value
  elseif kind == kinds.OBJECT then
    load_fields(self, handle)
  else
    error("it is no object any more", 0)
  end
  if self.root.auth then
    self.object = resources.reconnect_all(self.object, self.root.auth)
  end
end

-- ---- into the share ----

-- Put one field where readers see it, if it is another one than before.
local function save_field(self, handle, key)
  if key == kinds.CLASS_FIELD then
    self.is_tangled = true
    return
  end
  local value = rawget(self.object, key)
  if value == nil then
    if not self.known[key] then return end
    self.known[key], self.last[key] = nil, nil
    handle:change_set(self.path, self.depth, key, nil)
    return
  end
  local is_scalar = SCALAR[type(value)]
  if is_scalar and self.last[key] == value then return end
  if not is_scalar and type(value) ~= "userdata" and type(value) ~= "cdata"
  then
    self.is_tangled = self.is_tangled or not values.has_fields(self.object)
    if self.is_tangled then return end
  end
  self.known[key] = true
  self.last[key] = is_scalar and value or nil
  handle:change_save(self.path, self.depth, key, value)
end

-- Fields that hang together are stored as a whole from now on.
local function save_whole(self, handle)
  self.is_whole, self.is_tangled = true, false
  handle:change_save(self.path, self.depth, nil, self.object, kinds.WHOLE)
end

-- Store what may have changed: `writes` are keys, or nil for all.
local function save(self, writes)
  local handle = self.root.handle
  if self.is_whole then return save_whole(self, handle) end
  if writes then
    for key in each(writes) do save_field(self, handle, key) end
  else
    for key in each(self.known) do save_field(self, handle, key) end
    for key in each(self.object) do save_field(self, handle, key) end
  end
  if self.is_tangled then save_whole(self, handle) end
end

-- ---- those that there are ----

-- Objects come and go: those that nobody calls any more are not kept for ever.
local function new_mirror(self, path, depth)
  if self.mirrored >= MOST_MIRRORS then Mirror.forget(self) end
  local mirror = setmetatable({ root = self, path = path, depth = depth },
                              Mirror)
  self.mirrors[path], self.mirrored = mirror, self.mirrored + 1
  return mirror
end

--- Load all objects anew.
function Mirror.forget(self)
  self.mirrors, self.mirrored = {}, 0
end

--- The object at a path, for a call.
function Mirror.at(self, path, depth)
  local mirror = self.mirrors[path] or new_mirror(self, path, depth)
  local version = self.handle:change_version(path, depth)
  if mirror.version == nil or mirror.version ~= version then mirror:load() end
  mirror.version = nil -- until the call has ended well
  return mirror
end

--- The call ended well: store what it may have changed, `writes` or all.
function Mirror:keep(writes)
  save(self, writes)
  self.version = self.root.handle:change_version(self.path, self.depth)
end

--- A plain copy of what is at a path now, with objects in it.
function Mirror.copy(self, path, depth)
  local handle = self.handle
  local kind, value = handle:change_get(path, depth)
  if kind == kinds.ABSENT then return nil end
  if kind == kinds.OBJECT then
    local mirror = setmetatable({ root = self, path = path, depth = depth },
                                Mirror)
    mirror:load()
    return mirror.object
  end
  if kind ~= kinds.TABLE then return value end
  local keys, stored, kinds_of = handle:change_list(path, depth)
  local copy = {}
  for i = 1, #keys do
    local key, kind_of = keys[i], kinds_of[i]
    if kind_of == kinds.TABLE or kind_of == kinds.OBJECT then
      copy[key] = Mirror.copy(self, core.share_path(path, key), depth + 1)
    else
      copy[key] = stored[i]
    end
  end
  return copy
end

return Mirror
