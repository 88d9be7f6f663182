-- The bytes: what version 1 wrote is read for ever; inspect and to_json.
local cerial = require "suitkaise.cerial"
local helper = require "spec.cerial_helper"
local values = require "spec.golden.values"

local MAKERS = { "luajit", "lua54" }

local function golden(name, maker)
  local file = assert(io.open(("spec/golden/%s.%s.hex"):format(name, maker)))
  local hex = file:read("*a"):gsub("%s", "")
  file:close()
  return (hex:gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end))
end

-- Equal, but for the subtype of numbers, which depends on the writer.
local function alike(a, b, seen)
  seen = seen or {}
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b or (a ~= a and b ~= b)
  end
  if seen[a] then return seen[a] == b end
  seen[a] = b
  for k, v in next, a do
    if not alike(v, (rawget(b, k)), seen) then return false end
  end
  for k in next, b do
    if rawget(a, k) == nil then return false end
  end
  return true
end

helper.each_way(function(way, use)
  describe("golden files " .. way, function()
    setup(use)

    for _, maker in ipairs(MAKERS) do
      for _, name in ipairs(values.names) do
        it(("of %s are read: %s"):format(maker, name), function()
          local value = cerial.deserialize(golden(name, maker))
          assert.is_true(alike(values[name], value))
        end)
      end

      it(("of %s are read: objects"):format(maker), function()
        local registry = require "suitkaise.cerial.registry"
        for name, class in pairs(values.classes) do
          registry.values[name] = nil
          cerial.register(name, class)
        end
        local back = cerial.deserialize(golden("objects", maker))
        assert.equal(values.classes["golden.Point"], getmetatable(back[1]))
        assert.equal(2, back[1].y or rawget(back[1], "y"))
        assert.equal(values.classes["golden.Hooked"], getmetatable(back[3]))
        assert.equal(back[3], back[4])
        assert.equal(back[1], back[3].list[1])
        assert.equal(back[3], back[3].list[2])
      end)
    end
  end)
end)

describe("numbers of another Lua", function()
  it("are whole where they were whole", function()
    local ints = cerial.deserialize(golden("ints", "luajit"))
    assert.equal(28, ints[2])
    if math.type then
      assert.equal("integer", math.type(ints[2]))
      assert.equal("integer", math.type(ints.x))
    end
  end)

  it("too large for a double are refused or kept exactly", function()
    -- 2^53 + 1
    local bytes = "\167SK\1\239\1\0\0\0\0\0\32\0"
    if math.type then
      assert.equal(math.tointeger(2 ^ 53) + 1, cerial.deserialize(bytes))
    elseif jit then
      local n = cerial.deserialize(bytes)
      assert.equal("9007199254740993LL", tostring(n))
    else
      helper.error_of("DeserializationError", cerial.deserialize, bytes)
    end
  end)

  it("of LuaJIT's cdata become integers where there are any", function()
    local int64 = "\167SK\1\242\255\255\255\255\255\255\255\255"
    local value = cerial.deserialize(int64)
    if jit then assert.equal("-1LL", tostring(value))
    else assert.equal(-1, value) end
    local uint64 = "\167SK\1\243\255\255\255\255\255\255\255\255"
    if jit then
      assert.equal("18446744073709551615ULL",
        tostring(cerial.deserialize(uint64)))
    else
      helper.error_of("DeserializationError", cerial.deserialize, uint64)
    end
  end)
end)

describe("inspect", function()
  local function lines_of(value)
    local written = {}
    local out = { write = function(_, ...)
      for _, s in ipairs { ... } do written[#written + 1] = s end
    end }
    local text = cerial.inspect(cerial.serialize(value), out)
    assert.equal(text .. "\n", table.concat(written))
    return text
  end

  it("shows the structure, line by line", function()
    assert.equal([[
table, 2 items, 1 fields
  [1] = 1
  [2] = "two"
  ["x"] = table, 0 items, 1 fields
    ["y"] = true]], lines_of { 1, "two", x = { y = true } })
  end)

  it("shows references", function()
    local t = {}
    t[1] = t
    assert.equal("table, 1 items, 0 fields  #0\n  [1] = -> #0", lines_of(t))
  end)

  it("shows functions, classes and modules without running them", function()
    local class, n = {}, 0
    function class.f() return class end
    local text = lines_of { print, setmetatable({}, class), string,
                            function() return n end }
    assert.matches('reference "_G:print"', text, 1, true)
    assert.matches("object, 0 items", text, 1, true)
    assert.matches('module "string"', text, 1, true)
    assert.matches("function, %d+ bytes of Lua", text)
  end)

  it("shows deep values", function()
    local t = {}
    for _ = 1, 2000 do t = { t } end
    assert.matches("table, 0 items", lines_of(t), 1, true)
  end)

  it("refuses what is no value", function()
    helper.error_of("DeserializationError", cerial.inspect, "nonsense")
    helper.error_of("DeserializationError", cerial.inspect,
                    cerial.serialize { 1 } .. "x")
  end)
end)

describe("to_json", function()
  local function json(value) return cerial.to_json(cerial.serialize(value)) end

  it("writes what JSON has", function()
    assert.equal("null", json(nil))
    assert.equal("true", json(true))
    assert.equal('[1,2,"x"]', json { 1, 2, "x" })
    assert.equal('{"a":{"b":[1]}}', json { a = { b = { 1 } } })
    assert.equal("{}", json {})
    assert.equal('"\\"\\\\\\n\\u0001"', json "\"\\\n\1")
  end)

  it("writes every number so that it reads back", function()
    for _, n in ipairs { 0.1, 1 / 3, 1e300, -2.5e-7, 123456789 } do
      assert.equal(n, tonumber((json(n))))
    end
    assert.equal('{"$number":"nan"}', json(0 / 0))
    assert.equal('{"$number":"-inf"}', json(-1 / 0))
  end)

  it("writes bytes that are no text in base64", function()
    assert.equal('{"$bytes":"/w=="}', json "\255")
    assert.equal('{"$bytes":"wAA="}', json "\192\0")
    assert.equal('"é€𝄞"', json "é€𝄞")
    assert.equal('{"$bytes":"7aCA"}', json "\237\160\128") -- a surrogate
  end)

  it("writes other tables as pairs", function()
    assert.equal('{"$table":[[1,"a"],["x",2]]}', json { "a", x = 2 })
    assert.equal('{"$table":[[1.5,true]]}', json { [1.5] = true })
    assert.equal('{"$table":[["$x",1]]}', json { ["$x"] = 1 })
  end)

  it("writes sharing and cycles", function()
    local t = {}
    t.me = t
    assert.equal('{"$id":0,"$value":{"me":{"$ref":0}}}', json(t))
  end)

  it("names classes and functions", function()
    local C = {}
    cerial.register("spec.Json", C)
    assert.equal('{"$class":"spec.Json","$fields":{"x":1}}',
      json(setmetatable({ x = 1 }, C)))
    assert.equal('{"$function":"_G:print"}', json(print))
    assert.equal('{"$module":"string"}', json { f = print, s = string }
      :match '"s":({.-})')
  end)

  local has_cjson, cjson = pcall(require, "cjson")
  if not has_cjson then return end

  it("agrees with a JSON library", function()
    local value = { a = { 1, 2.5, "x\ty", { true, false } }, b = { c = "é" } }
    assert.same(value, cjson.decode(json(value)))
  end)
end)
