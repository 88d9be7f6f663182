-- Adds up how often identifiers are used when the counts come in many parts.
--
-- A folder has some identifiers that are used often and a great many that are
-- not; to add up all of them would keep the parent busier than its workers.
-- So of each part only counts of at least OFTEN are added at once. The others
-- are kept as they came, and in the end they are searched for the few names
-- that may be among the commonest. The result is exact.

local each = require "suitkaise".pairs -- why: doc/building.md, "Which LuaJIT"

local byte, find, sub = string.byte, string.find, string.sub

local OFTEN = 8

local identifiers = {}

--- Counts of one part, as they travel: often, name -> count; seldom, for each
-- smaller count one string of the names that have it, "i n buffer ".
function identifiers.pack(counts)
  local often, seldom = {}, {}
  for n = 1, OFTEN - 1 do seldom[n] = {} end
  for name, n in each(counts) do
    if n >= OFTEN then
      often[name] = n
    else
      local names = seldom[n]
      names[#names + 1] = name
    end
  end
  for n, names in ipairs(seldom) do
    names[#names + 1] = ""
    seldom[n] = table.concat(names, " ")
  end
  return { often = often, seldom = seldom }
end

--- What parts are added to.
function identifiers.new()
  return { often = {}, seldom = {} }
end

function identifiers.add(total, part)
  local often = total.often
  for name, n in each(part.often) do often[name] = (often[name] or 0) + n end
  total.seldom[#total.seldom + 1] = part.seldom
end

-- ---- the end ----

-- The largest number such that at least `limit` names have that many uses, 0
-- when there are not so many names.
local function limit_th(counts, limit)
  local numbers = {}
  for _, n in each(counts) do numbers[#numbers + 1] = n end
  table.sort(numbers, function(a, b) return a > b end)
  return numbers[limit] or 0
end

local function add_all(counts, names, n)
  local from = 1
  while from <= #names do
    local stop = find(names, " ", from, true)
    local name = sub(names, from, stop - 1)
    counts[name] = (counts[name] or 0) + n
    from = stop + 1
  end
end

-- A number that most different names do not share.
local function shape(names, from, stop)
  return byte(names, from) + 256 * (stop - from)
end

-- Add to the names that `counts` has, and to no others. Names of another
-- shape are not even cut out.
local function add_known(counts, names, n, shapes)
  local from = 1
  while from <= #names do
    local stop = find(names, " ", from, true)
    if shapes[shape(names, from, stop)] then
      local name = sub(names, from, stop - 1)
      if counts[name] then counts[name] = counts[name] + n end
    end
    from = stop + 1
  end
end

local function each_seldom(total, fn, counts, shapes)
  for _, seldom in ipairs(total.seldom) do
    for n, names in ipairs(seldom) do fn(counts, names, n, shapes) end
  end
end

--- Exact counts of names among which are the `limit` commonest, ties
-- included.
function identifiers.commonest(total, limit)
  local most_missed = #total.seldom * (OFTEN - 1)
  local least = limit_th(total.often, limit)
  if least <= most_missed then  -- a name that is nowhere often may be one
    each_seldom(total, add_all, total.often)
    return total.often
  end
  local counts, shapes = {}, {}
  for name, n in each(total.often) do
    if n + most_missed >= least then
      counts[name] = n
      shapes[shape(name, 1, #name + 1)] = true
    end
  end
  each_seldom(total, add_known, counts, shapes)
  return counts
end

return identifiers
