--- Bytes as JSON, for tools in other languages. doc/cerial.md has the table
-- of what becomes what.
-- @module suitkaise.cerial.json
-- @local

local core = require "suitkaise.core"
local tree = require "suitkaise.cerial.tree"

local floor = math.floor

-- ---- strings ----

local ESCAPES = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f",
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function quote(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

-- First and last byte, least and most second byte, length: RFC 3629.
local UTF8 = {
  { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 },
  { 0xE1, 0xEC, 0x80, 0xBF, 3 }, { 0xED, 0xED, 0x80, 0x9F, 3 },
  { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
  { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
}

local function sequence_length(s, at)
  local first, second = s:byte(at, at + 1)
  for _, range in ipairs(UTF8) do
    if first >= range[1] and first <= range[2] then
      if not second or second < range[3] or second > range[4] then
        return nil
      end
      for i = at + 2, at + range[5] - 1 do
        local byte = s:byte(i)
        if not byte or byte < 0x80 or byte > 0xBF then return nil end
      end
      return range[5]
    end
  end
  return nil
end

local function is_utf8(s)
  local at = s:find "[\128-\255]"
  while at do
    local length = sequence_length(s, at)
    if not length then return false end
    at = s:find("[\128-\255]", at + length)
  end
  return true
end

local DIGITS =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(s)
  return (s:gsub("..?.?", function(three)
    local a, b, c = three:byte(1, 3)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    local out = ""
    for i = 3, 0, -1 do
      local digit = floor(n / 64 ^ i) % 64
      out = out .. DIGITS:sub(digit + 1, digit + 1)
    end
    return not b and out:sub(1, 2) .. "==" or not c and out:sub(1, 3) .. "="
      or out
  end))
end

local function string_text(s)
  if is_utf8(s) then return quote(s) end
  return '{"$bytes":"' .. base64(s) .. '"}'
end

-- ---- numbers ----

local function number_text(n)
  if type(n) ~= "number" then return (tostring(n):gsub("U?LL$", "")) end
  if n ~= n then return '{"$number":"nan"}' end
  if n == 1 / 0 then return '{"$number":"inf"}' end
  if n == -1 / 0 then return '{"$number":"-inf"}' end
  if math.type and math.type(n) == "integer" then return ("%d"):format(n) end
  if n == floor(n) and math.abs(n) < 2 ^ 53 and (n ~= 0 or 1 / n > 0) then
    return ("%.0f"):format(n) .. (math.type and ".0" or "")
  end
  local short = ("%.15g"):format(n)
  return tonumber(short) == n and short or ("%.17g"):format(n)
end

-- Digits of a little-endian 64-bit integer, by division by ten.
local function int64_text(bytes, signed)
  local digits, value = {}, { bytes:byte(1, 8) }
  local negative = signed and value[8] >= 128
  if negative then
    local carry = 1
    for i = 1, 8 do
      local v = 255 - value[i] + carry
      value[i], carry = v % 256, floor(v / 256)
    end
  end
  repeat
    local rest, left = 0, false
    for i = 8, 1, -1 do
      local v = rest * 256 + value[i]
      value[i], rest = floor(v / 10), v % 10
      left = left or value[i] > 0
    end
    table.insert(digits, 1, tostring(floor(rest)))
  until not left
  return (negative and "-" or "") .. table.concat(digits)
end

local TAG_F64 = "\241"

local function double_at(bytes, at)
  local _, _, _, n = core.cerial_token(TAG_F64 .. bytes:sub(at, at + 7), 1)
  return n
end

-- ---- nodes ----

local LEAVES = {
  ["nil"] = function() return "null" end,
  ["true"] = function() return "true" end,
  ["false"] = function() return "false" end,
  globals = function() return '{"$globals":true}' end,
  string = function(node) return string_text(node.value) end,
  number = function(node) return number_text(node.value) end,
  ref = function(node) return '{"$ref":' .. node.value .. "}" end,
  ["cell ref"] = function(node) return '{"$cell":' .. node.value .. "}" end,
  int64 = function(node) return int64_text(node.value, true) end,
  uint64 = function(node) return int64_text(node.value, false) end,
  complex = function(node)
    return '{"$complex":[' .. number_text(double_at(node.value, 1)) .. ","
      .. number_text(double_at(node.value, 9)) .. "]}"
  end,
  reference = function(node)
    return '{"$function":' .. string_text(node.name.value) .. "}"
  end,
  class = function(node) return string_text(node.name.value) end,
  module = function(node)
    return '{"$module":' .. string_text(node.name.value) .. "}"
  end,
  struct = function(node)
    return '{"$struct":' .. string_text(node.name.value) .. ',"$bytes":"'
      .. base64(node.bytes.value) .. '"}'
  end,
}

-- Are the keys names that no key of ours can be taken for?
local function has_plain_keys(node)
  for i = 1, #node.pairs, 2 do
    local key = node.pairs[i]
    if key.kind ~= "string" or key.value:sub(1, 1) == "$"
       or not is_utf8(key.value) then
      return false
    end
  end
  return true
end

-- A table as text and nodes in turn.
local function table_parts(node, parts)
  local items, fields = node.items, node.pairs
  if #fields == 0 and #items > 0 then
    parts[#parts + 1] = "["
    for i, item in ipairs(items) do
      if i > 1 then parts[#parts + 1] = "," end
      parts[#parts + 1] = item
    end
    parts[#parts + 1] = "]"
  elseif #items == 0 and has_plain_keys(node) then
    parts[#parts + 1] = "{"
    for i = 1, #fields, 2 do
      parts[#parts + 1] = (i > 1 and "," or "") .. quote(fields[i].value)
        .. ":"
      parts[#parts + 1] = fields[i + 1]
    end
    parts[#parts + 1] = "}"
  else
    parts[#parts + 1] = '{"$table":['
    for i, item in ipairs(items) do
      parts[#parts + 1] = (i > 1 and ",[" or "[") .. i .. ","
      parts[#parts + 1] = item
      parts[#parts + 1] = "]"
    end
    for i = 1, #fields, 2 do
      parts[#parts + 1] = (i > 1 or #items > 0) and ",[" or "["
      parts[#parts + 1] = fields[i]
      parts[#parts + 1] = ","
      parts[#parts + 1] = fields[i + 1]
      parts[#parts + 1] = "]"
    end
    parts[#parts + 1] = "]}"
  end
end

local PARTS = {
  table = table_parts,
  object = function(node, parts)
    parts[#parts + 1] = '{"$class":'
    parts[#parts + 1] = node.meta
    parts[#parts + 1] = ',"$fields":'
    table_parts(node, parts)
    parts[#parts + 1] = "}"
  end,
  hooked = function(node, parts)
    parts[#parts + 1] = '{"$class":'
    parts[#parts + 1] = node.class
    parts[#parts + 1] = ',"$state":'
    parts[#parts + 1] = node.state
    parts[#parts + 1] = "}"
  end,
  ["function"] = function(node, parts)
    parts[#parts + 1] = '{"$function":null,"$vm":'
      .. string_text(node.vm.value) .. ',"$code":"'
      .. base64(node.code.value) .. '","$upvalues":['
    for i, cell in ipairs(node.upvalues) do
      if i > 1 then parts[#parts + 1] = "," end
      parts[#parts + 1] = cell
    end
    parts[#parts + 1] = "]}"
  end,
}

-- Text and nodes in turn for a node that is no leaf.
local function parts_of(node)
  local parts = {}
  if node.shared then
    parts[1] = '{"$id":' .. node.id .. ',"$value":'
  end
  PARTS[node.kind](node, parts)
  if node.shared then parts[#parts + 1] = "}" end
  return parts
end

--- JSON of bytes.
-- @tparam string bytes
-- @treturn string
return function(bytes)
  local out, stack = {}, { { parts = { tree.read(bytes) }, at = 0 } }
  while #stack > 0 do
    local top = stack[#stack]
    top.at = top.at + 1
    local part = top.parts[top.at]
    if part == nil then stack[#stack] = nil
    elseif type(part) == "string" then out[#out + 1] = part
    elseif LEAVES[part.kind] then out[#out + 1] = LEAVES[part.kind](part)
    else stack[#stack + 1] = { parts = parts_of(part), at = 0 }
    end
  end
  return table.concat(out)
end
