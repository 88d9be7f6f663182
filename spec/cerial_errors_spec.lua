-- What is never carried, limits, options: errors that say where.
local cerial = require "suitkaise.cerial"
local helper = require "spec.cerial_helper"

local function path_of(value, given)
  local err = helper.error_of("SerializationError", cerial.serialize, value,
                              given)
  assert.equal(1, (err.message:find(err.path, 1, true)))
  return err.path, err
end

local coroutine_ = coroutine.create(function() end)

helper.each_way(function(way, use)
  describe("paths " .. way, function()
    setup(use)

    it("lead through fields and items", function()
      local path, err = path_of {
        players = { 1, 2, { name = "x", callback = coroutine_ } },
      }
      assert.equal("players[3].callback", path)
      assert.matches(
        "^players%[3%]%.callback: coroutine cannot be serialized; ",
        err.message)
    end)

    it("show keys that are no names", function()
      assert.equal('["a b"][1.5][true]',
        (path_of { ["a b"] = { [1.5] = { [true] = coroutine_ } } }))
    end)

    it("are empty for the value itself", function()
      assert.equal("", (path_of(coroutine_)))
    end)

    it("lead into keys", function()
      assert.equal("x(key)[1]", (path_of { x = { [{ coroutine_ }] = 1 } })
        :gsub("%[table%]", ""))
    end)

    it("lead through upvalues", function()
      local state = { inner = { coroutine_ } }
      local f = function() return state end
      assert.equal("f(upvalue state).inner[1]", (path_of { f = f }))
    end)

    it("lead through metatables", function()
      local C = { methods = { coroutine_ } }
      assert.equal("o(metatable).methods[1]",
        (path_of { o = setmetatable({}, C) }))
    end)

    it("lead through the state of hooks", function()
      local C = cerial.register("spec.Holder " .. way, {})
      C.__serialize = function() return { a = { coroutine_ } } end
      assert.equal("[1](state).a[1]", (path_of { setmetatable({}, C) }))
    end)

    it("are right after values that were written", function()
      assert.equal("z.b", (path_of { 1, 2, { {} }, z = { b = coroutine_ } }))
    end)

    it("survive great depth", function()
      local t = { coroutine_ }
      for _ = 1, 5000 do t = { t } end
      assert.equal(("[1]"):rep(5001), (path_of(t)))
    end)
  end)
end)

describe("serialize refuses", function()
  local function reason(value)
    local _, err = path_of { value = value }
    return err.message
  end

  it("coroutines", function()
    assert.matches("coroutine cannot be serialized", reason(coroutine_), 1,
                   true)
  end)

  it("light userdata", function()
    local light = debug.upvalueid and debug.upvalueid(path_of, 1)
    if type(light) ~= "userdata" then return end -- 5.1 makes none in Lua
    assert.matches("light userdata cannot be serialized", reason(light), 1,
                   true)
  end)

  it("userdata without hooks", function()
    local _, directory = require("lfs").dir "." -- busted needs lfs too
    assert.matches("userdata cannot be serialized", reason(directory), 1,
                   true)
    directory:close()
  end)
end)

describe("errors", function()
  it("have the position of the caller", function()
    local line = debug.getinfo(1, "l").currentline
    local _, err = pcall(function()
      local bytes = cerial.serialize(coroutine_)
      return bytes
    end)
    assert.matches("cerial_errors_spec.lua:" .. line + 2, err.where, 1, true)
    _, err = pcall(function()
      local value = cerial.deserialize(5)
      return value
    end)
    assert.matches("cerial_errors_spec.lua:" .. line + 7, err.where, 1, true)
  end)

  it("of options name the nearest", function()
    local err = helper.error_of("ArgumentError", cerial.serialize, 1,
                                { max_deph = 3 })
    assert.matches('did you mean "max_depth"?', err.message, 1, true)
    err = helper.error_of("ArgumentError", cerial.deserialize, "",
                          { trustd = true })
    assert.matches('did you mean "trusted"?', err.message, 1, true)
    helper.error_of("ArgumentError", cerial.serialize, 1,
                    { functions = "never" })
  end)

  it("of arguments name them", function()
    local err = helper.error_of("ArgumentError", cerial.deserialize, nil)
    assert.matches("bytes must be a string", err.message, 1, true)
    helper.error_of("ArgumentError", cerial.reference, 1)
    helper.error_of("ArgumentError", cerial.inspect, {})
    helper.error_of("ArgumentError", cerial.to_json)
  end)
end)

describe("max_depth", function()
  local deep = { { { { 1 } } } }

  it("refuses to write what is deeper", function()
    assert.is_string(cerial.serialize(deep, { max_depth = 4 }))
    local err = helper.error_of("SerializationError", cerial.serialize, deep,
                                { max_depth = 3 })
    assert.equal("[1][1][1]", err.path)
    assert.matches("max_depth", err.message, 1, true)
  end)

  it("refuses to read what is deeper", function()
    local bytes = cerial.serialize(deep)
    assert.equal(1, cerial.deserialize(bytes, { max_depth = 4 })[1][1][1][1])
    local err = helper.error_of("DeserializationError", cerial.deserialize,
                                bytes, { max_depth = 3 })
    assert.matches("max_depth", err.message, 1, true)
  end)
end)

describe("max_bytes", function()
  it("refuses to write what is longer", function()
    local value = { ("x"):rep(1000) }
    assert.is_string(cerial.serialize(value, { max_bytes = 1100 }))
    local err = helper.error_of("SerializationError", cerial.serialize, value,
                                { max_bytes = 900 })
    assert.matches("max_bytes", err.message, 1, true)
  end)

  it("stops before everything is written", function()
    local list = {}
    for i = 1, 1000 do list[i] = "a string of its own " .. i end
    helper.error_of("SerializationError", cerial.serialize, list,
                    { max_bytes = 100 })
  end)

  it("refuses to read what is longer", function()
    local bytes = cerial.serialize { ("x"):rep(1000) }
    assert.is_table(cerial.deserialize(bytes, { max_bytes = #bytes }))
    local err = helper.error_of("DeserializationError", cerial.deserialize,
                                bytes, { max_bytes = #bytes - 1 })
    assert.matches("max_bytes", err.message, 1, true)
  end)
end)
