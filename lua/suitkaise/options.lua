--- Tables of named options: defaults, and errors that help.
-- @module suitkaise.options

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"

local MAX_NAME = 40 -- longer names are not compared letter by letter
local MAX_LISTED = 12

local options = {}

-- ---- the nearest name ----

local function least(a, b, c)
  if b < a then a = b end
  return c < a and c or a
end

-- Edits from `a` to `b`; two letters that changed places are one edit.
local function distance(a, b)
  local above, before
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    above, before, row = before, row, { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local d = least(before[j] + 1, row[j - 1] + 1,
                      before[j - 1] + (same and 0 or 1))
      if above and j > 1 and a:byte(i) == b:byte(j - 1)
         and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, above[j - 2] + 1)
      end
      row[j] = d
    end
  end
  return row[#b]
end

--- The known name that was probably meant.
-- @param name what was written
-- @tparam {string,...} known
-- @treturn ?string nil when none is near
-- @usage options.nearest("wrokers", { "workers", "chunk" }) --> "workers"
function options.nearest(name, known)
  if type(name) ~= "string" or #name > MAX_NAME then return nil end
  local best
  local limit = math.max(1, math.floor(#name / 3)) + 1
  for _, candidate in ipairs(known) do
    local d = distance(name:lower(), candidate:lower())
    if d < limit then best, limit = candidate, d end
  end
  return best
end

--- The end of a message about an unknown name: what was meant, or what there
-- is.
-- @param name what was written
-- @tparam {string,...} known
-- @treturn string
-- @usage error("no field " .. name .. options.hint(name, { "hits", "misses" }))
function options.hint(name, known)
  local near = options.nearest(name, known)
  if near then return "; did you mean " .. errors.show(near) .. "?" end
  if #known == 0 or #known > MAX_LISTED then return "" end
  return "; there is " .. table.concat(known, ", ")
end

--- The string keys of a table, sorted.
-- @tparam table t
-- @treturn {string,...}
-- @usage options.names{ b = 1, a = 2 } --> { "a", "b" }
function options.names(t)
  local names = {}
  for name in each(t) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- ---- checks ----

local ARTICLES = {
  integer = "a whole number", table = "a table", string = "a string",
  ["function"] = "a function", number = "a number", any = "a value",
  boolean = "true or false",
}

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function"
    or type(meta) == "table" and rawget(meta, "__call") ~= nil
end

local function has_type(value, kind)
  if kind == "any" then return true end
  if kind == "function" then return is_callable(value) end
  if kind ~= "integer" then return type(value) == kind end
  return type(value) == "number" and value == math.floor(value)
    and value - value == 0
end

local function is_one_of(value, list)
  for _, v in ipairs(list or {}) do
    if v == value then return true end
  end
  return false
end

local function accepts(rule, value)
  if is_one_of(value, rule.values) then return true end
  for _, kind in ipairs(rule.types) do
    if has_type(value, kind) then
      return type(value) ~= "number" or not rule.min or value >= rule.min
    end
  end
  return false
end

local function expected(rule)
  local words = {}
  for _, kind in ipairs(rule.types) do
    local word = ARTICLES[kind] or kind
    if rule.min and (kind == "number" or kind == "integer") then
      word = word .. " of at least " .. errors.show(rule.min)
    end
    words[#words + 1] = word
  end
  for _, value in ipairs(rule.values or {}) do
    words[#words + 1] = errors.show(value)
  end
  return table.concat(words, " or ")
end

local function to_rule(entry)
  local given = type(entry) == "table" and entry or { type = entry }
  local types = {}
  for kind in (given.type or ""):gmatch "[^|]+" do
    types[#types + 1] = kind
  end
  return {
    types = types, values = given.values, min = given.min,
    default = given.default,
  }
end

--- Check a table of options and fill in the defaults.
--
-- An entry of `spec` is a type (`"number"`, `"integer"`, `"string"`,
-- `"boolean"`, `"table"`, `"function"`, `"any"`, several with `|` between
-- them) or a table: `type`, `values` (an array of further values that are
-- allowed), `min` (for numbers), `default`.
-- @tparam string owner whose options: "Pool"
-- @tparam ?table given nil is the same as an empty table
-- @tparam table spec
-- @tparam[opt=2] int|string level as for `error`: 1 is the function that
--   calls this; "caller" is whoever called the library
-- @treturn table a new table
-- @raise ArgumentError (`argument`) that names the option, its value and what
--   was expected; for an unknown option, the nearest one
-- @usage local o = options.check("Pool", given, {
--   workers = { type = "integer", min = 1, default = 4 },
--   on_error = { values = { "raise", "collect" }, default = "raise" },
-- })
function options.check(owner, given, spec, level)
  level = level == "caller" and level or (level or 2) + 1
  if given ~= nil and type(given) ~= "table" then
    errors.argument(owner, "options", given, "a table", level)
  end
  local checked = {}
  for name, entry in each(spec) do
    checked[name] = to_rule(entry).default
  end
  for name, value in each(given or {}) do
    if spec[name] == nil then
      errors.raise("ArgumentError", {
        message = owner .. ": unknown option " .. errors.show(name)
          .. options.hint(name, options.names(spec)),
        argument = name,
      }, level)
    end
    local rule = to_rule(spec[name])
    if not accepts(rule, value) then
      errors.argument(owner, name, value, expected(rule), level)
    end
    checked[name] = value
  end
  return checked
end

return options
