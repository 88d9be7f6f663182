--- LuaJIT's cdata: 64-bit integers, complex numbers, declared structs.
-- @module suitkaise.cerial.cdata
-- @local

local kinds = require "suitkaise.cerial.kinds"
local registry = require "suitkaise.cerial.registry"

local cdata = {}

local has_ffi, ffi = pcall(require, "ffi")

-- ---- without LuaJIT: numbers where they fit ----

local function to_integer(bytes, signed)
  local low, high = 0, 0
  for i = 4, 1, -1 do
    low = low * 256 + bytes:byte(i)
    high = high * 256 + bytes:byte(i + 4)
  end
  if signed and high >= 2 ^ 31 then high = high - 2 ^ 32 end
  if math.tointeger then
    if high >= 2 ^ 31 then return nil end
    return math.tointeger(high) * math.tointeger(2 ^ 32)
           + math.tointeger(low)
  end
  local value = high * 2 ^ 32 + low
  return math.abs(value) < 2 ^ 53 and value or nil
end

local function build_number(kind, bytes)
  local value
  if kind == kinds.INT64 or kind == kinds.UINT64 then
    value = to_integer(bytes, kind == kinds.INT64)
    if value then return value end
    return nil, "a 64-bit integer that this Lua has no number for"
  end
  return nil, "cdata of LuaJIT, which this Lua does not have"
end

if not has_ffi then
  function cdata.describe()
    return false, "cdata cannot be serialized"
  end
  cdata.build = build_number
  return cdata
end

-- ---- with LuaJIT ----

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"
local complex = ffi.typeof "complex"

local BOXED = {
  [tonumber(int64)] = kinds.INT64, [tonumber(uint64)] = kinds.UINT64,
  [tonumber(complex)] = kinds.COMPLEX,
}
local BOX = {
  [kinds.INT64] = ffi.typeof "int64_t[1]",
  [kinds.UINT64] = ffi.typeof "uint64_t[1]",
  [kinds.COMPLEX] = ffi.typeof "complex[1]",
}

local function bytes_of(kind, value)
  local box = BOX[kind](value)
  return ffi.string(box, ffi.sizeof(box))
end

local function unbox(kind, bytes)
  local box = BOX[kind]()
  ffi.copy(box, bytes, ffi.sizeof(box))
  return box[0]
end

-- ---- structs ----

-- The name by which another process finds the ctype, or nil.
local function declared_name(ctype)
  local name = tostring(ctype):match "^ctype<(.*)>$"
  if not name or name:find "[%d]+$" and name:find "^struct %d" then
    return nil
  end
  local ok, found = pcall(ffi.typeof, name)
  return ok and tonumber(found) == tonumber(ctype) and name or nil
end

-- Kinds of LuaJIT's C types: the top four bits of a typeinfo's info.
local CT_STRUCT, CT_PTR, CT_ARRAY, CT_FUNC, CT_FIELD, CT_BITFIELD = 1, 2, 3,
  6, 9, 10
local CT_ATTRIB, CT_TYPEDEF, CT_CONSTVAL = 8, 7, 11

local has_pointer

local function members_have_pointer(id)
  while id and id ~= 0 do
    local info = ffi.typeinfo(id)
    local kind = bit.rshift(info.info, 28)
    if kind == CT_FIELD or kind == CT_ATTRIB or kind == CT_STRUCT then
      if has_pointer(bit.band(info.info, 0xffff)) then return true end
    elseif kind ~= CT_BITFIELD and kind ~= CT_CONSTVAL then
      return true
    end
    id = info.sib
  end
  return false
end

-- Does a value of this type hold an address? Then it stays here.
function has_pointer(id)
  local info = ffi.typeinfo(id)
  local kind = bit.rshift(info.info, 28)
  if kind == CT_STRUCT then return members_have_pointer(info.sib) end
  if kind == CT_PTR or kind == CT_FUNC then return true end
  if kind == CT_ARRAY or kind == CT_ATTRIB or kind == CT_TYPEDEF then
    return has_pointer(bit.band(info.info, 0xffff))
  end
  return false
end

local function describe_struct(value, ctype)
  local text = tostring(ctype)
  local name = registry.ctype_names[tonumber(ctype)] or declared_name(ctype)
  if not name then
    return false, text .. " cannot be serialized: it has no name that "
      .. "another process could find"
  end
  if has_pointer(tonumber(ctype)) then
    return false, text .. " cannot be serialized: it is or holds a pointer"
  end
  local size = ffi.sizeof(value)
  local bytes = ffi.new("uint8_t[?]", size)
  ffi.copy(bytes, value, size)
  return kinds.STRUCT, name, ffi.string(bytes, size)
end

--- How a cdata travels.
-- @param value
-- @tparam function hooked describes a value by its hook's state
function cdata.describe(value, hooked)
  local ctype = ffi.typeof(value)
  local id = tonumber(ctype)
  local kind = BOXED[id]
  if kind then return kind, bytes_of(kind, value) end
  local handle = registry.ctypes[id]
  if handle then return hooked(handle.name, value, handle.serialize) end
  return describe_struct(value, ctype)
end

local function find_ctype(name, trusted)
  local known = registry.values[name]
  if type(known) == "cdata" then return known end
  if not trusted then
    return nil, ("ctype %q is not registered here; use cerial.register, or "
                 .. "{ trusted = true }"):format(name)
  end
  local ok, ctype = pcall(ffi.typeof, name)
  if ok then return ctype end
  return nil, ("ctype %q is not declared here"):format(name)
end

local function build_struct(name, bytes, trusted)
  local ctype, why = find_ctype(name, trusted)
  if not ctype then return nil, why end
  if has_pointer(tonumber(ctype)) or ffi.sizeof(ctype) ~= #bytes then
    return nil, ("ctype %q is another one here"):format(name)
  end
  local value = ffi.new(ctype)
  ffi.copy(value, bytes, #bytes)
  return value
end

--- A cdata, or a number for it: -> value; or nil, reason.
function cdata.build(kind, a, b, trusted)
  if kind == kinds.STRUCT then return build_struct(a, b, trusted) end
  return unbox(kind, a)
end

return cdata
