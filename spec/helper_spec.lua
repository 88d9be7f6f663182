local core = require "suitkaise.core"
local helper = require "spec.helper"

local function complaint()
  local ok, err = pcall(helper.nothing_left)
  return not ok and err or nil
end

describe("the check that nothing is left", function()
  after_each(helper.nothing_left)

  it("is quiet when nothing is", function()
    assert.is_nil(complaint())
  end)

  it("sees a running child", function()
    local child = core.fork(function() core.wait({}, {}, "eager", 20) end)
    assert.matches("child %d+: ", complaint())
    child:close()
  end)

  it("sees a zombie", function()
    local child = core.fork(function() end)
    core.wait({}, { child }, "eager", 20)
    assert.matches("child %d+: .*Z", complaint())
    child:close()
  end)

  it("sees a descriptor and names its file", function()
    local file = io.open("/dev/null")
    assert.matches("descriptor %d+: /dev/null", complaint())
    file:close()
  end)

  it("does not see what the collector closes", function()
    io.open("/dev/null")
    assert.is_nil(complaint())
  end)

  it("reports a thing once", function()
    local file = io.open("/dev/null")
    assert.is_not_nil(complaint())
    assert.is_nil(complaint())
    file:close()
  end)
end)

describe("a child of the helper", function()
  after_each(helper.nothing_left)

  it("tells its exit code", function()
    assert.equal(3, (helper.fork(function() os.exit(3) end):finish()))
  end)

  it("tells the signal that ended it", function()
    local child = helper.fork(function() core.wait({}, {}, "eager", 20) end)
    child:kill()
    local code, signal = child:finish()
    assert.is_nil(code)
    assert.equal(9, signal)
  end)

  it("is killed when it does not end in time", function()
    local child = helper.fork(function() core.wait({}, {}, "eager", 20) end)
    assert.has_error(function() child:finish(0.01) end,
                     "timeout: the child did not end")
  end)
end)

describe("waiting for a condition", function()
  it("returns what the condition returned", function()
    local n = 0
    assert.equal(3, helper.wait_until(function()
      n = n + 1
      return n == 3 and n
    end))
  end)

  it("fails when it never comes true", function()
    assert.has_error(function()
      helper.wait_until(function() return false end, 0.01, "never")
    end)
  end)
end)

describe("running another interpreter", function()
  after_each(helper.nothing_left)

  it("uses the same kind and finds the library", function()
    assert.equal(_VERSION .. " 0.1.0\n", helper.run [[
      print(_VERSION .. " " .. require "suitkaise".version)]])
  end)
end)
