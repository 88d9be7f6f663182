local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

describe("the facade", function()
  after_each(helper.nothing_left)

  it("tells its version", function()
    assert.matches("^%d+%.%d+%.%d+$", sk.version)
  end)

  it("tells the process id, also in a child", function()
    assert.equal(core.getpid(), sk.getpid())
    local parent = sk.getpid()
    helper.in_child(function() assert(sk.getpid() ~= parent) end)
  end)

  it("counts the processors", function()
    local n = sk.cpu_count()
    assert.is_true(n >= 1 and n == math.floor(n))
  end)

  it("gives the modules", function()
    assert.equal(require "suitkaise.errors", sk.errors)
    assert.equal(require "suitkaise.class", sk.class)
    assert.equal(require "suitkaise.is", sk.is)
    assert.equal(require "suitkaise.shared", sk.shared)
    assert.equal(require "suitkaise.cerial", sk.cerial)
    assert.equal(require "suitkaise.pool", sk.Pool)
    assert.equal(require "suitkaise.shared".Counter, sk.Counter)
    assert.equal(require "suitkaise.shared".Flag, sk.Flag)
    assert.equal(require "suitkaise.shared".Progress, sk.Progress)
    assert.equal(require "suitkaise.sktime", sk.sktime)
    assert.equal(require "suitkaise.circuit", sk.circuit)
    assert.equal(require "suitkaise.circuit".Circuit, sk.Circuit)
  end)

  it("loads a part when it is first read, and not before", function()
    assert.equal("false false true\n", helper.run [[
      local sk = require "suitkaise"
      local function is_loaded(name) return package.loaded[name] ~= nil end
      io.write(tostring(is_loaded "suitkaise.shared"), " ",
               tostring(is_loaded "suitkaise.core"), " ")
      local _ = sk.Counter
      print(is_loaded "suitkaise.shared")]])
  end)

  it("names the nearest part when one is misspelt", function()
    local ok, err = pcall(function() return sk.Conuter end)
    assert.is_false(ok)
    assert.equal('suitkaise has no "Conuter"; did you mean "Counter"?',
                 err.message)
    assert.matches("facade_spec.lua:%d+$", err.where)
  end)

  it("can be walked through", function()
    for name in pairs(sk) do assert.equal("string", type(name)) end
  end)

  it("has no metamethods of its own for those who look", function()
    assert.is_nil(sk.__serialize)
    assert.is_nil(sk[1])
  end)

  it("leaves no global behind", function()
    assert.equal("", helper.run [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      local sk = require "suitkaise"
      for _, part in ipairs { "errors", "class", "is", "shared", "cerial",
                            "Pool", "sktime", "circuit" } do
        local _ = sk[part]
      end
      for name in pairs(_G) do
        if not before[name] then print(name) end
      end]])
  end)
end)
