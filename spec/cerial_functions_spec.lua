-- Functions: by reference and in full.
local cerial = require "suitkaise.cerial"
local helper = require "spec.cerial_helper"
local shared_helper = require "spec.helper"

local copy = helper.copy
local TRUST = helper.TRUST
local HAS_IDS = _VERSION ~= "Lua 5.1" or jit ~= nil

helper.each_way(function(way, use)
  describe("functions " .. way, function()
    setup(use)

    it("carry their code", function()
      local f = copy(function(a, b) return a * b + 1 end)
      assert.equal(13, f(3, 4))
    end)

    it("carry upvalues, nil and false among them", function()
      local a, b, c, d = nil, false, "x", { 5 }
      local f = copy(function() return a, b, c, d[1] end)
      local w, x, y, z = f()
      assert.is_nil(w)
      assert.is_false(x)
      assert.equal("x", y)
      assert.equal(5, z)
    end)

    it("carry varargs", function()
      local f = copy(function(...) return select("#", ...), (...) end)
      local n, first = f(7, nil, nil)
      assert.equal(3, n)
      assert.equal(7, first)
    end)

    it("keep a table that two of them use one table", function()
      local t = {}
      local back = copy { function() return t end, function() return t end }
      assert.equal(back[1](), back[2]())
    end)

    it("carry upvalues that hold the function's own table", function()
      local t = { n = 3 }
      function t.get() return t.n, t end
      local back = copy(t)
      local n, self = back.get()
      assert.equal(3, n)
      assert.equal(back, self)
    end)

    it("work as keys", function()
      local f = function() return 9 end
      local back = copy { [f] = "v", f = f }
      assert.equal("v", back[back.f])
      assert.equal(9, (next { [back.f] = 1 })())
    end)

    it("keep their identity", function()
      local f = function() end
      local back = copy { f, f, function() end }
      assert.equal(back[1], back[2])
      assert.not_equal(back[1], back[3])
    end)

    it("carry recursive locals", function()
      local function factorial(n)
        return n <= 1 and 1 or n * factorial(n - 1)
      end
      assert.equal(3628800, copy(factorial)(10))
    end)

    it("carry mutually recursive locals", function()
      local odd
      local function even(n) return n == 0 or odd(n - 1) end
      odd = function(n) return n ~= 0 and even(n - 1) end
      assert.is_true(copy(even)(10))
      assert.is_false(copy(odd)(10))
    end)

    it("reattach the globals", function()
      local back = copy { g = _G, f = function() return tostring, _G end }
      assert.equal(_G, back.g)
      local global_function, globals = back.f()
      assert.equal(tostring, global_function)
      assert.equal(_G, globals)
    end)

    it("carry chains of closures", function()
      local f = function() return 1 end
      for _ = 1, 1000 do
        local g = f
        f = function() return g and 1 + g() end
      end
      assert.equal(1001, copy(f)())
    end)

    if HAS_IDS then
      it("share upvalues afterwards", function()
        local n = 0
        local back = copy {
          get = function() return n end, set = function(v) n = v end,
        }
        back.set(7)
        assert.equal(7, back.get())
        assert.equal(0, n)
      end)

      it("share upvalues at different depths of the value", function()
        local n, t = 1, {}
        local back = copy {
          a = { b = { up = function() n = n + 1 return t end } },
          c = { function() return n, t end }, t = t,
        }
        assert.equal(back.t, back.a.b.up())
        local count, same = back.c[1]()
        assert.equal(2, count)
        assert.equal(back.t, same)
      end)
    else
      it("copy shared upvalues, which 5.1 cannot join", function()
        local n = 3
        local back = copy { function() return n end, function() return n end }
        assert.equal(3, back[1]())
        assert.equal(3, back[2]())
      end)
    end

    it("carry a private environment by value", function()
      local f
      if setfenv then
        f = setfenv(loadstring "return secret", { secret = 42 })
      else
        f = load [[
          local _ENV = { secret = 42 }
          return function() return secret end
        ]] ()
      end
      assert.equal(42, copy(f)())
    end)

    it("tell file and line of errors", function()
      local f = copy(function() error "boom" end)
      local _, message = pcall(f)
      assert.matches("cerial_functions_spec.lua:%d+: boom", message)
    end)
  end)
end)

describe("functions by reference", function()
  local name, path

  before_each(function()
    path = os.tmpname()
    os.remove(path)
    path = path .. ".lua"
    name = path:match "([^/]+)%.lua$"
    local file = assert(io.open(path, "w"))
    file:write [[
      local M = { nested = { deep = {} } }
      function M.f() return "original" end
      function M.nested.deep.g() return "deep" end
      M.Class = {}
      M.Class.__index = M.Class
      function M.Class.method(self) return self.n end
      return M
    ]]
    file:close()
    package.path = path:gsub("[^/]+$", "?.lua") .. ";" .. package.path
  end)

  after_each(function()
    package.loaded[name] = nil
    package.path = package.path:gsub("^[^;]*;", "")
    os.remove(path)
  end)

  it("go by module and path", function()
    local m = require(name)
    assert.equal(name .. ":f", cerial.reference(m.f))
    assert.equal(name .. ":nested.deep.g", cerial.reference(m.nested.deep.g))
    assert.equal(m.f, copy(m.f))
    assert.equal(m.nested.deep.g, copy { m.nested.deep.g }[1])
  end)

  it("take few bytes", function()
    assert.is_true(#cerial.serialize(require(name).f) <= 100)
  end)

  it("keep methods of classes", function()
    local m = require(name)
    local object = setmetatable({ n = 4 }, m.Class)
    local back = copy { object, m.Class.method }
    assert.equal(m.Class, getmetatable(back[1]))
    assert.equal(m.Class.method, back[2])
    assert.equal(4, back[1]:method())
  end)

  it("load the module where it is missing", function()
    local bytes = cerial.serialize(require(name).f)
    package.loaded[name] = nil
    assert.equal("original", cerial.deserialize(bytes, TRUST)())
  end)

  it("carry captured modules by name", function()
    local m = require(name)
    local bytes = cerial.serialize(function() return m, string end)
    local mine, strings = cerial.deserialize(bytes, TRUST)()
    assert.equal(m, mine)
    assert.equal(string, strings)
    assert.is_true(#bytes < 2000)
  end)

  it("do not send a replaced function by the name of its place", function()
    local m = require(name)
    m.f = function() return "mine" end
    local bytes = cerial.serialize(m.f)
    assert.is_nil(cerial.reference(m.f))
    package.loaded[name] = nil
    assert.equal("mine", cerial.deserialize(bytes, TRUST)())
  end)

  it("do not send what was replaced by the name it had", function()
    local m = require(name)
    local before = m.f
    assert.equal(name .. ":f", cerial.reference(before))
    m.f = function() return "mine" end
    assert.equal("original", copy(before)())
    local reference, why = cerial.reference(before)
    assert.is_nil(reference)
    assert.is_string(why)
  end)

  it("carry C functions", function()
    assert.equal("_G:print", cerial.reference(print))
    assert.equal("string:format", cerial.reference(string.format))
    assert.equal(string.format, copy { string.format }[1])
  end)

  it("refuse C functions that nothing leads to", function()
    local err = helper.error_of("SerializationError", cerial.serialize,
      { iterate = string.gmatch("a", "a") })
    assert.matches("^iterate: C function cannot be serialized", err.message)
  end)

  it("do not take a global function of the program for a module's", function()
    _G.spec_global = function() return "global" end
    assert.is_nil(cerial.reference(_G.spec_global))
    local bytes = cerial.serialize(_G.spec_global)
    _G.spec_global = nil
    assert.equal("global", cerial.deserialize(bytes, TRUST)())
  end)

  it("tell why there is none", function()
    local reference, why = cerial.reference(function() end)
    assert.is_nil(reference)
    assert.matches("no loaded module", why, 1, true)
  end)

  it("are found in another process", function()
    local bytes = cerial.serialize(require("suitkaise.options").nearest)
    local output = shared_helper.run(([[
      local cerial = require "suitkaise.cerial"
      local f = cerial.deserialize(%q, { trusted = true })
      io.write(tostring(f == require("suitkaise.options").nearest))
    ]]):format(bytes))
    assert.equal("true", output)
  end)
end)

describe("the option functions", function()
  local nearest = require("suitkaise.options").nearest

  it("sends in full what has a name", function()
    local f = copy(nearest, { functions = "full" })
    assert.not_equal(nearest, f)
    assert.equal("abc", f("abd", { "abc", "xyz" }))
  end)

  it("refuses what has no name", function()
    local err = helper.error_of("SerializationError", cerial.serialize,
      { f = function() end }, { functions = "reference" })
    assert.equal("f", err.path)
    assert.equal(nearest, copy(nearest, { functions = "reference" }))
  end)

  it("refuses all functions", function()
    local err = helper.error_of("SerializationError", cerial.serialize,
      { { print } }, { functions = "refuse" })
    assert.equal("[1][1]", err.path)
  end)
end)

describe("bytecode", function()
  it("is refused by name in another VM", function()
    local bytes = cerial.serialize(function() end)
    local vm = require "suitkaise.cerial.vm"
    local other = (vm:gsub("^Lua", "Lux"))
    local at = assert(bytes:find(vm, 1, true))
    bytes = bytes:sub(1, at - 1) .. other .. bytes:sub(at + #vm)
    local err = helper.error_of("DeserializationError", cerial.deserialize,
                                bytes, TRUST)
    assert.matches(other, err.message, 1, true)
    assert.matches(vm, err.message, 1, true)
  end)

  it("is refused untrusted", function()
    local err = helper.error_of("DeserializationError", cerial.deserialize,
      cerial.serialize(function() end))
    assert.matches("trusted", err.message, 1, true)
  end)

  it("is sent once for closures of one function", function()
    local list = {}
    for i = 1, 20 do list[i] = function() return i end end
    local one = #cerial.serialize { list[1] }
    assert.is_true(#cerial.serialize(list) < one + 20 * 20)
    local back = copy(list)
    for i = 1, 20 do assert.equal(i, back[i]()) end
  end)
end)
