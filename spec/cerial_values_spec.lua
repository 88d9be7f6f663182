-- Plain values, on both ways of reading tables.
local cerial = require "suitkaise.cerial"
local helper = require "spec.cerial_helper"

local copy, same = helper.copy, helper.same

local function keeps(value)
  local back = cerial.deserialize(cerial.serialize(value))
  assert.is_true(same(value, back))
end

local function depth_of(value, field)
  local n = 0
  while value do value, n = value[field], n + 1 end
  return n
end

helper.each_way(function(way, use)
  describe("cerial " .. way, function()
    setup(use)

    describe("numbers", function()
      it("keeps integers of every size", function()
        for bits = 0, 53 do
          for _, n in ipairs { 2 ^ bits - 1, 2 ^ bits, 2 ^ bits + 1 } do
            keeps(n)
            keeps(-n)
          end
        end
      end)

      it("keeps fractions, infinities, NaN and -0", function()
        for _, n in ipairs { 0.1, -0.5, 1e308, 5e-324, 1 / 3, 1 / 0, -1 / 0,
                             -0.0, 0.0, 2 ^ 63, -2 ^ 63, 2 ^ 64, 3.0 } do
          keeps(n)
        end
        assert.is_true(same(0 / 0, copy(0 / 0)))
      end)

      if math.type then
        it("keeps the integer subtype", function()
          for _, n in ipairs { 3, 3.0, math.maxinteger, math.mininteger,
                               2 ^ 53, math.maxinteger - 1, -1, -1.0 } do
            keeps(n)
          end
        end)
      end

      it("keeps them as items, in runs of every width", function()
        for _, step in ipairs { 1, 100, 30000, 2 ^ 31, 2 ^ 40, 0.5, 0.1 } do
          local t = {}
          for i = -10, 2000 do t[#t + 1] = i * step end
          keeps(t)
        end
      end)

      it("keeps runs that other values break", function()
        local t = {}
        for i = 1, 2000 do
          t[i] = i % 97 == 0 and "x" or i % 31 == 0 and i + 0.5 or i
        end
        t[600], t[601] = 0 / 0, -0.0
        keeps(t)
      end)
    end)

    describe("strings", function()
      it("keeps any bytes, at every length that has its own form", function()
        local all = {}
        for i = 0, 255 do all[#all + 1] = string.char(i) end
        all = table.concat(all):rep(2)
        for _, n in ipairs { 0, 1, 31, 32, 127, 128, 255, 256, 512 } do
          keeps(all:sub(1, n))
        end
      end)

      it("keeps megabytes", function()
        keeps(("0123456789abcdef"):rep(2 ^ 18))
      end)

      it("sends a string once", function()
        local long = ("x"):rep(1000)
        assert.is_true(#cerial.serialize { long, long, long } < 1100)
        keeps { long, long, { [long] = long } }
      end)

      it("refers to more strings than the short form can", function()
        local t = {}
        for i = 1, 500 do t[i] = "string " .. i end
        for i = 1, 500 do t[500 + i] = "string " .. i end
        keeps(t)
      end)
    end)

    describe("tables", function()
      it("keeps nil, booleans and empty tables", function()
        keeps(nil)
        keeps(true)
        keeps(false)
        keeps {}
        keeps { {}, { {} }, x = {} }
      end)

      it("keeps keys of every type", function()
        keeps {
          [1] = 1, [0] = 0, [-1] = -1, [1.5] = 1.5, [2 ^ 53] = 1,
          [true] = 1, [false] = 2, [1 / 0] = 3, x = 4, ["1"] = 5,
          ["a b"] = 6, [""] = 7,
        }
      end)

      it("keeps tables as keys, with their identity", function()
        local key = { 7 }
        local back = copy { [key] = "v", same = key }
        assert.equal("v", back[back.same])
        assert.equal(7, back.same[1])
      end)

      it("keeps a table that is its own key and value", function()
        local t = {}
        t[t] = t
        local back = copy(t)
        assert.equal(back, back[back])
      end)

      it("keeps holes", function()
        local t = { 1, nil, 3, nil, 5 }
        local back = copy(t)
        for i = 1, 6 do assert.equal(t[i], back[i]) end
        keeps { [1] = 1, [1000000] = 2, [-5] = 3 }
        keeps { nil, nil, 3 }
      end)

      it("keeps a table whose array shrank", function()
        local t = {}
        for i = 1, 100 do t[i] = i end
        for i = 100, 3, -1 do t[i] = nil end
        keeps(t)
      end)

      it("keeps large records", function()
        local t = {}
        for i = 1, 5000 do t["key " .. i] = { i, tostring(i) } end
        keeps(t)
      end)

      it("keeps items and fields side by side", function()
        local t = { "a", { 1 }, nil, 4, x = 1, y = { 2 } }
        for i = 1, 100 do t[#t + 1] = i end
        keeps(t)
      end)
    end)

    describe("identity", function()
      it("keeps shared references", function()
        local o = { 1 }
        local back = copy { o, o, z = { o } }
        assert.equal(back[1], back[2])
        assert.equal(back[1], back.z[1])
      end)

      it("keeps cycles", function()
        local t = { n = 1 }
        t.me, t.child = t, { up = t, list = { t } }
        keeps(t)
      end)

      it("does not make equal tables the same", function()
        local back = copy { { 1 }, { 1 } }
        assert.not_equal(back[1], back[2])
      end)

      it("keeps graphs of many nodes", function()
        local nodes = {}
        for i = 1, 3000 do nodes[i] = { id = i } end
        for i = 1, 3000 do
          nodes[i].next = nodes[i % 3000 + 1]
          nodes[i].far = nodes[(i * 7919) % 3000 + 1]
        end
        keeps(nodes)
      end)
    end)

    describe("depth", function()
      it("carries a chain of a million tables", function()
        local t
        for _ = 1, 1000000 do t = { next = t } end
        assert.equal(1000000, depth_of(copy(t), "next"))
      end)

      it("carries chains of keys and of items", function()
        local t = {}
        for _ = 1, 10000 do t = { [t] = 1 } end
        local n, back = 0, copy(t)
        while next(back) do back, n = next(back), n + 1 end
        assert.equal(10000, n)
        t = { 1 }
        for i = 1, 10000 do t = { t, i, x = i } end
        keeps(t)
      end)

      it("takes time in proportion to the size", function()
        local function seconds(n)
          local t
          for _ = 1, n do t = { next = t, "x" } end
          collectgarbage()
          local start = os.clock()
          copy(t)
          return os.clock() - start
        end
        seconds(1000)
        local small, large = seconds(20000), seconds(160000)
        assert.is_true(large < small * 40 + 0.1)
      end)
    end)

    describe("reuse", function()
      it("starts every message afresh", function()
        local shared = { "a string" }
        local first = cerial.serialize { shared, shared }
        cerial.serialize { shared, { shared } }
        assert.equal(first, cerial.serialize { shared, shared })
      end)

      it("gives back large buffers", function()
        cerial.serialize(("x"):rep(2 ^ 24))
        cerial.serialize(1)
        collectgarbage()
        keeps { 1, 2, "x" }
      end)
    end)
  end)
end)

describe("cerial's ways", function()
  local ways = {}
  helper.each_way(function(way, use) ways[#ways + 1] = { way, use } end)
  if #ways < 2 then return end

  teardown(ways[2][2])

  it("write the same bytes", function()
    local values = {
      { 1, 2, 3, x = 1, y = { "a", "b" } }, { { {} }, n = 1.5 },
      ("x"):rep(100), { [true] = 1, [1.5] = { 2 } },
    }
    for i = 1, 300 do values[4 + i] = i % 7 == 0 and i + 0.25 or i end
    values.self = values
    ways[1][2]()
    local first = cerial.serialize(values)
    ways[2][2]()
    assert.equal(first, cerial.serialize(values))
  end)

  it("write the same bytes of functions and objects", function()
    local class = { n = 1 }
    class.__index = class
    local value = { setmetatable({ x = 1 }, class), function() return class end,
                    setmetatable({ x = 2 }, class), print, string }
    ways[1][2]()
    local first = cerial.serialize(value)
    ways[2][2]()
    assert.equal(first, cerial.serialize(value))
  end)
end)

describe("serialize_many", function()
  local function count(...) return select("#", ...) end

  it("carries nil anywhere", function()
    local bytes = cerial.serialize_many(nil, 1, nil, nil)
    assert.equal(4, count(cerial.deserialize_many(bytes)))
    local a, b, c = cerial.deserialize_many(bytes)
    assert.is_nil(a)
    assert.equal(1, b)
    assert.is_nil(c)
  end)

  it("carries nothing", function()
    local bytes = cerial.serialize_many()
    assert.equal(0, count(cerial.deserialize_many(bytes)))
  end)

  it("keeps what the values share", function()
    local t = {}
    local a, b = cerial.deserialize_many(cerial.serialize_many(t, { t }))
    assert.equal(a, b[1])
  end)

  it("refuses the bytes of one value", function()
    local err = helper.error_of("DeserializationError",
      cerial.deserialize_many, cerial.serialize { n = 1e9 })
    assert.matches("serialize_many", err.message, 1, true)
  end)
end)
