-- Writes JSON: numbers, strings of any bytes, booleans, arrays, and tables
-- with string keys, in the order of the keys. An empty table is an array.

local json = {}

-- Well-formed UTF-8 of more than one byte, and nothing else.
local SEQUENCES = {
  "^[\194-\223][\128-\191]",
  "^\224[\160-\191][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]",
  "^\237[\128-\159][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}
local REPLACEMENT = "\239\191\189"  -- U+FFFD

local function sequence_at(bytes, i)
  for _, pattern in ipairs(SEQUENCES) do
    local found = bytes:match(pattern, i)
    if found then return found end
  end
end

local function repair(bytes)
  local out, i = {}, 1
  while i <= #bytes do
    local found = sequence_at(bytes, i)
    out[#out + 1] = found or REPLACEMENT
    i = i + (found and #found or 1)
  end
  return table.concat(out)
end

--- A string with U+FFFD for every byte that is not part of valid UTF-8.
function json.utf8(s)
  return (s:gsub("[\128-\255]+", repair))
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n",
                  ["\t"] = "\\t", ["\r"] = "\\r" }

local function escape(c)
  return ESCAPES[c] or ("\\u%04x"):format(c:byte())
end

local function string(s)
  return '"' .. json.utf8(s):gsub('[%c"\\]', escape) .. '"'
end

local function number(n)
  return ((n % 1 == 0 and "%.0f" or "%.6f"):format(n):gsub(",", "."))
end

local encode

local function array(list, indent)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = encode(value, indent) end
  return parts, "[", "]"
end

local function object(map, indent)
  local keys, parts = {}, {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = string(key) .. ": " .. encode(map[key], indent)
  end
  return parts, "{", "}"
end

local function is_array(t)
  return next(t) == nil or t[1] ~= nil
end

function encode(value, indent)
  if type(value) == "string" then return string(value) end
  if type(value) == "number" then return number(value) end
  if type(value) ~= "table" then return tostring(value) end
  local inner = indent .. "  "
  local parts, open, close = (is_array(value) and array or object)(value,
                                                                   inner)
  if #parts == 0 then return open .. close end
  return open .. inner .. table.concat(parts, "," .. inner) .. indent .. close
end

--- The JSON text of a value, indented.
function json.encode(value)
  return encode(value, "\n")
end

return json
