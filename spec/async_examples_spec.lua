-- The example programs that use sockets: short runs of what they promise.

local helper = require "spec.helper"

-- What a program prints on stdout and stderr.
local function run(program, ...)
  local code = ("arg = { [0] = %q, %s }\ndofile(arg[0])")
    :format(program, ("%q, "):rep(select("#", ...)):format(...))
  return helper.run(code)
end

describe("the example", function()
  after_each(helper.nothing_left)

  it("crawler reaches every page once, however often it is refused",
    function()
      local output = run("examples/crawler.lua", "300", "30")
      local pages, requests, refused, trips = output:match(
        "(%d+) pages, %d+ bytes, (%d+) requests of which (%d+) were refused, "
          .. "(%d+) trips of the breaker")
      assert.equal("300", pages, output)
      assert.is_true(tonumber(refused) >= 90, output)
      assert.is_true(tonumber(trips) > 0, output)
      assert.equal(300 + refused, tonumber(requests))
    end)

  it("tcp_workers loses no answer", function()
    local output = run("examples/tcp_workers.lua", "1", "10", "2")
    assert.matches("answers lost or wrong: 0\n", output)
    local answers, p99 = output:match "(%d+) answers.*p99 ([%d.]+) ms"
    assert.is_true(tonumber(answers) > 10, output)
    assert.is_true(tonumber(p99) > 0)
  end)
end)
