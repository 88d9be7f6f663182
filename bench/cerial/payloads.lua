-- What is measured, by letter. Every Lua and Python builds the same values:
-- the generator of random numbers is exact in doubles.

local payloads = {}

local state

local function random() -- in [0, 1)
  state = (state * 16807) % 2147483647
  return state / 2147483647
end

local whole = math.tointeger or function(x) return x end

local function between(low, high)
  return whole(low + math.floor(random() * (high - low + 1)))
end

local Point = { __name = "bench.Point" }
Point.__index = Point
function Point:length() return math.sqrt(self.x ^ 2 + self.y ^ 2) end
payloads.Point = Point

local make = {}

function make.a()
  return { id = 123456, name = "alice liddell", score = 98.25, flags = 5 }
end

function make.b()
  local list = {}
  for i = 1, 10000 do list[i] = between(-1000000, 1000000) end
  return list
end

function make.c()
  local list = {}
  for i = 1, 10000 do list[i] = random() * 1000 - 500 + 0.123456789 end
  return list
end

function make.d()
  local list = {}
  for i = 1, 1000 do
    list[i] = {
      id = i, name = "user" .. i, email = "user" .. i .. "@example.org",
      active = i % 3 == 0, score = random() * 100 + 0.001,
      address = {
        street = between(1, 200) .. " Main Street", city = "Springfield",
        zip = between(10000, 99999),
      },
      tags = { "alpha", "beta", "tag" .. i % 10 },
    }
  end
  return list
end

function make.e()
  local part = {}
  for i = 1, 4096 do part[i] = string.char(between(0, 255)) end
  return table.concat(part):rep(256)
end

local function nodes(n)
  local list = {}
  for i = 1, n do list[i] = { id = i } end
  for i = 1, n do
    list[i].parent = list[math.max(1, math.floor(i / 2))]
    list[i].link = list[between(1, i)]
  end
  list[1].last = list[n]
  return list
end

function make.g() return nodes(10000) end
function make.g10() return nodes(100000) end -- ten times: is it linear?

-- g with numbers for references: what a format without cycles can carry.
function make.g0()
  local list, graph = {}, nodes(10000)
  for i, node in ipairs(graph) do
    list[i] = { id = i, parent = node.parent.id, link = node.link.id }
  end
  return list
end

function make.h()
  local list = {}
  for i = 1, 1000 do
    list[i] = setmetatable({ x = i + 0.5, y = i * 2, name = "v" .. i }, Point)
  end
  return list
end

function make.i() return require("suitkaise.options").nearest end

function make.j()
  local count, name = 41, "counter"
  local config = { step = 2, list = { 1, 2, 3 } }
  return function(x)
    count = count + (x or config.step)
    return count, name, #config.list
  end
end

payloads.order = { "a", "b", "c", "d", "e", "g", "g0", "g10", "h", "i", "j" }

--- The payload of that letter, the same every time.
function payloads.make(letter)
  state = 42
  return make[letter]()
end

return payloads
