-- Loops that LuaJIT of 2022 ends early when they are written with pairs: the
-- program of its issue 827, with what takes the place of pairs.

local each = require "suitkaise.each"
local sk = require "suitkaise"

-- `pause` is compiled apart, and the loop around goes on interpreted.
local PROGRAM = [[
  local each = ...
  local list = { 1, 2, 3, 4, 5 }
  local all = { a = list, b = list, c = list, d = list, e = list }
  local function pause(...) for _ = 1, 100 do end end
  for _ = 1, 100000 do
    pause()
    local seen = 0
    for _, inner in each(all) do
      for _ in each(inner) do end
      seen = seen + 1
    end
    if seen ~= 5 then return seen end
  end
  return 5
]]

-- How many of five entries the shortest of many loops saw.
local function least_seen(each_of)
  return assert((loadstring or load)(PROGRAM))(each_of)
end

describe("each", function()
  it("sees all entries, however often", function()
    assert.equal(5, least_seen(each))
  end)

  it("so does sk.pairs", function()
    assert.equal(5, least_seen(sk.pairs))
  end)

  it("looks past metatables", function()
    local t = setmetatable({ a = 1 }, { __pairs = function() error "no" end })
    local found = {}
    for k, v in each(t) do found[k] = v end
    assert.same({ a = 1 }, found)
  end)
end)
