-- Order and freshness: writes of all processes form one order, a read sees
-- what was acknowledged before it began, and waits for nothing else.
local core = require "suitkaise.core"
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local WRITERS, READERS, ROUNDS = 3, 2, 100

local Cell = sk.class "Cell"
function Cell:init() self.n, self.list = 0, { 0 } end
function Cell:set(n) self.n = n end
function Cell:set_list(n) self.list[1] = n end
function Cell:raise(n)
  self.n, self.list[1] = -n, -n
  error "not kept"
end

-- Ways to write number n, and to read the number back.
local WAYS = {
  plain = {
    function(s, n) s.n = n end,
    function(s) return s.n end,
    function(s) s.n = 0 end,
  },
  nested = {
    function(s, n) s.a.b.n = n end,
    function(s) return s.a.b.n end,
    function(s) s.a = { b = { n = 0 } } end,
  },
  whole = {
    function(s, n) s.a = { b = { n = n }, c = { n } } end,
    function(s) return s.a.b.n end,
    function(s) s.a = { b = { n = 0 } } end,
  },
  update = {
    function(s, n) sk.update(s, "n", function() return n end) end,
    function(s) return s.n end,
    function(s) s.n = 0 end,
  },
  method = {
    function(s, n) s.cell:set(n) end,
    function(s) return s.cell.n end,
    function(s) s.cell = Cell() end,
  },
  ["method on a nested table"] = {
    function(s, n) s.cell:set_list(n) end,
    function(s) return s.cell.list[1] end,
    function(s) s.cell = Cell() end,
  },
  field = {
    function(s, n) s.cell.n = n end,
    function(s) return s.cell.n end,
    function(s) s.cell = Cell() end,
  },
  ["table in a field"] = {
    function(s, n) s.cell.list[1] = n end,
    function(s) return s.cell.list[1] end,
    function(s) s.cell = Cell() end,
  },
  ["object replaced"] = {
    function(s, n)
      local cell = Cell()
      cell.n = n
      s.cell = cell
    end,
    function(s) return s.cell.n end,
    function(s) s.cell = Cell() end,
  },
}

-- Different ways to write one attribute.
local MIXES = {
  ["plain, update and increment"] = {
    writes = { WAYS.plain[1], WAYS.update[1],
               function(s, n) sk.increment(s, "n", n - s.n) end },
    read = WAYS.plain[2], begin = WAYS.plain[3],
  },
  ["nested and whole"] = {
    writes = { WAYS.nested[1], WAYS.whole[1],
               function(s, n)
                 sk.update(s.a, "b", function() return { n = n } end)
               end },
    read = WAYS.nested[2], begin = WAYS.nested[3],
  },
  ["methods, fields and whole objects"] = {
    writes = { WAYS.method[1], WAYS.field[1], WAYS["object replaced"][1],
               function(s, n)
                 pcall(sk.call, s.cell, "raise", n)
                 s.cell:set(n)
               end },
    read = WAYS.method[2], begin = WAYS.method[3],
  },
  ["methods and writes on a table in a field"] = {
    writes = { WAYS["method on a nested table"][1],
               WAYS["table in a field"][1],
               function(s, n) s.cell.list = { n } end },
    read = WAYS["table in a field"][2], begin = WAYS["table in a field"][3],
  },
}

describe("a write", function()
  after_each(fixture.clean_up)

  for name, way in pairs(WAYS) do
    it("is seen by the next read of its process: " .. name, function()
      local share = fixture.share()
      way[3](share)
      for n = 1, ROUNDS do
        way[1](share, n)
        assert.equal(n, way[2](share))
      end
      assert.same({}, share:errors())
    end)

    -- The writer says in a Counter what it has written, after it has.
    it("is seen by readers in other processes, and they never go back: "
       .. name, function()
      local share, done = fixture.share(), sk.Counter(0)
      way[3](share)
      fixture.in_children(1 + READERS, function(i)
        if i == 1 then
          for n = 1, ROUNDS do
            way[1](share, n)
            done:set(n)
          end
          return
        end
        local last = 0
        while last < ROUNDS do
          local least = done.value
          local n = way[2](share)
          assert(n >= least, ("acknowledged: %d, read: %d"):format(least, n))
          assert(n >= last, ("back from %d to %d"):format(last, n))
          last = n
        end
      end)
    end)
  end

  for name, mix in pairs(MIXES) do
    it("is seen whatever way it was made: " .. name, function()
      local share, done = fixture.share(), sk.Counter(0)
      mix.begin(share)
      fixture.in_children(1 + READERS, function(i)
        if i == 1 then
          for n = 1, ROUNDS do
            mix.writes[n % #mix.writes + 1](share, n)
            done:set(n)
          end
          return
        end
        local last = 0
        while last < ROUNDS do
          local least = done.value
          local n = mix.read(share)
          assert(n >= least, ("acknowledged: %d, read: %d"):format(least, n))
          assert(n >= last, ("back from %d to %d"):format(last, n))
          last = n
        end
      end)
      assert.same({}, share:errors())
    end)
  end
end)

describe("writes of several processes", function()
  after_each(fixture.clean_up)

  -- Processes take turns: each writes what follows what it reads.
  it("form one order: who waits for a turn sees all before it", function()
    local share = fixture.share()
    share.turn, share.log, share.cell = 1, {}, Cell()
    fixture.in_children(WRITERS, function(i)
      for n = i, WRITERS * 40, WRITERS do
        assert(sk.wait_for(share, "turn", n, 30))
        assert(#share.log == n - 1)
        assert(share.cell.n == n - 1)
        share.log[n] = i
        share.cell:set(n)
        share.turn = n + 1
      end
    end)
    assert.equal(WRITERS * 40, #share.log)
    for n = 1, WRITERS * 40 do
      assert.equal((n - 1) % WRITERS + 1, share.log[n])
    end
  end)

  it("are all kept: updates, increments, methods, inserts", function()
    local share = fixture.share()
    local Sum = sk.class "Sum"
    function Sum:init() self.n = 0 end
    function Sum:add(n) self.n = self.n + n end
    share.n, share.u, share.list, share.sum = 0, 0, {}, Sum()
    share.t = { n = 0 }
    fixture.in_children(WRITERS, function()
      for _ = 1, 100 do
        sk.increment(share, "n")
        sk.increment(share.t, "n", 2)
        sk.update(share, "u", function(u) return u + 1 end)
        share.sum:add(1)
        sk.increment(share.sum, "n")
        sk.insert(share.list, "x")
      end
    end)
    local total = WRITERS * 100
    assert.equal(total, share.n)
    assert.equal(total * 2, share.t.n)
    assert.equal(total, share.u)
    assert.equal(total * 2, share.sum.n)
    assert.equal(total, #share.list)
  end)

  it("of one process are seen in its order by all", function()
    local share = fixture.share()
    share.a, share.b, share.t = 0, 0, { c = 0 }
    fixture.in_children(WRITERS, function(i)
      if i == 1 then
        for n = 1, 1000 do
          share.a = n
          share.b = n
          share.t.c = n
        end
        return
      end
      local c
      repeat
        c = share.t.c
        local b = share.b
        local a = share.a
        assert(a >= b and b >= c)
      until c == 1000
    end)
  end)

  it("of a method are seen all or none", function()
    local share = fixture.share()
    local Pair = sk.class "Pair"
    function Pair:init() self.a, self.b = 0, 0 end
    function Pair:set(n) self.a, self.b = n, n end
    function Pair:both() return self.a, self.b end
    share.p = Pair()
    fixture.in_children(WRITERS, function(i)
      for n = 1, 200 do
        if i == 1 then share.p:set(n)
        else
          local a, b = share.p:both()
          assert(a == b)
          local copy = sk.snapshot(share.p)
          assert(copy.a == copy.b)
        end
      end
    end)
  end)
end)

describe("a reader", function()
  after_each(fixture.clean_up)

  it("is not starved by a steady writer", function()
    local share, over = fixture.share(), sk.Flag()
    share.n, share.t, share.other = 0, { n = 0 }, 1
    local writer = helper.fork(function()
      local n = 0
      while not over.value do
        n = n + 1
        share.n, share.t.n = n, n
      end
    end)
    helper.wait_until(function() return share.n > 0 end)
    local slowest = 0
    for _ = 1, 100 do
      slowest = math.max(slowest, fixture.elapsed(function()
        assert.is_true(share.n > 0 and share.t.n >= 0)
        assert.equal(1, share.other)
      end))
    end
    over:set()
    assert.equal(0, (writer:finish()))
    assert.is_true(slowest < 5)
  end)

  it("waits in a hot loop for another process's write", function()
    local share = fixture.share()
    share.go, share.t = false, { n = 0 }
    local child = helper.fork(function()
      while not share.go do end
      while share.t.n ~= 2 do end
      share.done = true
    end)
    share.go = true
    share.t.n = 1
    share.t.n = 2
    assert.is_true(sk.wait_for(share, "done", true, 30))
    assert.equal(0, (child:finish()))
  end)

  it("is not held up by a writer that is stopped", function()
    local share, ready = fixture.share(), sk.Flag()
    share.n = 0
    local writer = helper.fork(function()
      share.n = 1
      ready:set()
      while true do core.wait({}, {}, "eager", 1) end
    end)
    ready:wait(20)
    fixture.signal(writer.pid, "STOP")
    assert.equal(1, share.n)
    share.n = 2
    assert.equal(2, share.n)
    writer:kill()
    writer:finish()
    assert.equal(2, share.n)
  end)

  it("sees a write whose writer was killed after it", function()
    local share = fixture.share()
    share.t = {}
    for i = 1, 20 do
      local child = helper.fork(function()
        share.t[i] = i
        fixture.signal(core.getpid(), "KILL")
      end)
      local _, signal = child:finish()
      assert.equal(9, signal)
      assert.equal(i, share.t[i])
    end
  end)
end)

describe("an object that is stored in one way and in another", function()
  after_each(fixture.clean_up)

  local Knot = sk.class "Knot"
  function Knot:init() self.n, self.list = 1, { 1 } end
  function Knot:tie() self.me, self.same = self, self.list end

  it("is never seen without its fields", function()
    local share, over = fixture.share(), sk.Flag()
    share.k = Knot()
    local readers = {}
    for i = 1, READERS do
      readers[i] = helper.fork(function()
        while not over.value do
          local k = share.k
          assert(k.n == 1 and k.list[1] == 1 and share.k.list[1] == 1)
          assert(sk.snapshot(k).n == 1)
        end
      end)
    end
    for _ = 1, 1500 do
      share.k = Knot()
      share.k:tie()
    end
    over:set()
    for i = 1, READERS do assert.equal(0, (readers[i]:finish())) end
  end)
end)

describe("a Counter in a Share", function()
  after_each(fixture.clean_up)

  it("counts beside queued writes", function()
    local share = fixture.share()
    share.hits, share.n = sk.Counter(0), 0
    fixture.in_children(WRITERS, function()
      for _ = 1, 500 do
        share.hits:increment()
        share.n = share.n + 0
      end
    end)
    assert.equal(WRITERS * 500, share.hits.value)
  end)

  it("is not undone by a method that raises", function()
    local share = fixture.share()
    local Adder = sk.class "Adder"
    function Adder:init() self.counter, self.n = sk.Counter(0), 0 end
    function Adder:add()
      self.n = self.n + 1
      self.counter:increment()
      error "no"
    end
    share.a = Adder()
    pcall(sk.call, share.a, "add")
    assert.equal(1, share.a.counter.value)
    assert.equal(0, share.a.n)
  end)
end)

describe("a wait", function()
  after_each(fixture.clean_up)

  it("ends when the value is there", function()
    local share = fixture.share()
    share.n = 0
    local child = helper.fork(function()
      for n = 1, 10 do share.n = n end
    end)
    assert.is_true(sk.wait_for(share, "n", 10, 20))
    assert.equal(0, (child:finish()))
  end)

  it("may be for a predicate, for nil, and for an object's field", function()
    local share = fixture.share()
    share.n, share.gone, share.cell = 0, 1, Cell()
    local child = helper.fork(function()
      share.cell:set(3)
      share.gone = nil
      for n = 1, 10 do share.n = n end
    end)
    assert.is_true(sk.wait_for(share, "n", function(n) return n > 5 end, 20))
    assert.is_true(sk.wait_for(share, "gone", nil, 20))
    assert.is_true(sk.wait_for(share.cell, "n", 3, 20))
    assert.equal(0, (child:finish()))
  end)

  it("ends when its time is over", function()
    local share = fixture.share()
    share.n = 0
    assert.is_false(sk.wait_for(share, "n", 1, 0))
    assert.is_false(sk.wait_for(share, "n", 1, 0.05))
    assert.is_true(sk.wait_for(share, "n", 0, 0))
  end)

  it("sleeps: it uses no processor", function()
    local share, ready = fixture.share(), sk.Flag()
    share.n = 0
    local child = helper.fork(function()
      local before = os.clock()
      ready:set()
      assert(sk.wait_for(share, "n", 1, 30))
      assert(os.clock() - before < 0.3)
    end)
    ready:wait(20)
    child:until_asleep()
    sk.wait_for(share, "n", 1, 1)
    share.n = 1
    assert.equal(0, (child:finish()))
  end)

  it("in which the predicate raises ends with that", function()
    local share = fixture.share()
    share.n = 1
    local ok, err = pcall(sk.wait_for, share, "n", function() error "bad" end)
    assert.is_false(ok)
    assert.matches("bad", tostring(err))
  end)
end)
