-- What nobody holds is collected, processes and memory included, also when
-- LuaJIT has compiled code that called it: it compiles as soon as it may here.

local async_helper = require "spec.async_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local jit = rawget(_G, "jit")

local function same(x) return x end

local function endless()
  local n = 0
  return function()
    n = n + 1
    return n
  end
end

describe("collected is", function()
  setup(function()
    if jit then jit.opt.start("hotloop=1", "hotexit=1") end
  end)
  teardown(function()
    if jit then jit.opt.start("hotloop=56", "hotexit=10") end
  end)
  after_each(helper.nothing_left)

  it("a process that has ended", function()
    local Worker = sk.Skprocess:extend "Worker"
    function Worker:init() self.config.runs = 2 end
    function Worker:__run__() self:tell(1) end
    for _ = 1, 2 do
      local worker = Worker()
      worker:start()
      for _ = 1, 2 do assert.equal(1, worker:listen(20)) end
      worker:wait(20)
    end
  end)

  it("a pool, with a loop over it broken off", function()
    local pool = sk.Pool{ workers = 1 }
    for value in pool:imap(same, endless()) do
      if value == 100 then break end
    end
    for value in pool:unordered_imap(same, endless()) do
      if value == 100 then break end
    end
  end)

  it("a pool after maps", function()
    local pool = sk.Pool{ workers = 1 }
    for _ = 1, 3 do
      pool:progress(function() end):map(same, { 1, 2, 3 })
      pool:timeout(20):unordered_map(same, { 1, 2, 3 })
      pool:background():map(same, { 1, 2, 3 }):result(20)
    end
  end)

  it("a Share that was waited for", function()
    local share = sk.Share()
    share.n, share.list = 0, { 1, 2, 3 }
    for _ = 1, 20 do
      sk.increment(share, "n")
      share:flush()
      for _, v in sk.pairs(share.list) do assert.is_true(v > 0) end
    end
    assert.is_true(sk.wait_for(share, "n", 20, 20))
    assert.is_true(sk.wait_for(share, "n", function(n) return n == 20 end, 20))
  end)

  it("an object in a Share", function()
    local Tally = sk.class "Tally"
    function Tally:init() self.n = 0 end
    function Tally:add(n) self.n = self.n + n return self.n end
    local share = sk.Share()
    share.tally = Tally()
    for i = 1, 20 do assert.equal(i, share.tally:add(1)) end
    assert.equal(20, share.tally.n)
  end)

  it("a Pipe", function()
    local a, b = sk.Pipe.pair()
    for i = 1, 20 do
      a:send(i)
      assert.equal(i, b:recv(20))
    end
  end)

  it("a circuit in a Share", function()
    local share = sk.Share()
    share.circuit = sk.Circuit{ num_shorts_to_trip = 1000 }
    for i = 1, 20 do assert.equal(i, share.circuit:call(same, i)) end
  end)

  it("what tasks have waited for", function()
    async_helper.run(function()
      local async = sk.async
      local share, pool = async.Share(), async.Pool{ workers = 1 }
      local tasks = async.TaskPool{ max_concurrent = 2 }
      share.n = 0
      for i = 1, 20 do
        sk.increment(share, "n")
        assert.equal(i, share.n)
        assert.equal(i, pool:map(same, { i })[1])
        assert.equal(i, tasks:map(same, { i })[1])
      end
      if not async_helper.loops_wait then return end
      for value in tasks:imap(same, endless()) do
        if value == 20 then break end
      end
    end)
  end)
end)
