-- Pipe: two ends in two processes. What kills and stops them is in
-- pipe_faults_spec.lua.

local helper = require "spec.helper"
local sk = require "suitkaise"

-- A process that does fn(point) once; what fn returns is its result.
local function with_point(fn, point, config)
  local Class = sk.Skprocess:extend "WithPoint"
  function Class:__run__() self.answer = fn(self.point) end
  function Class:__result__() return self.answer end
  local p = Class()
  p.point, p.config.runs = point, 1
  for name, value in pairs(config or {}) do p.config[name] = value end
  p:start()
  return p
end

local function echo(point)
  for _ = 1, math.huge do
    local value = point:recv()
    if value == "end" then return "ended" end
    point:send(value)
  end
end

local function nothing_left()
  if rawget(_G, "jit") then jit.flush() end -- traces hold what they saw
  helper.nothing_left()
end

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("Pipe", function()
  after_each(nothing_left)

  it("carries values both ways between two processes", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(echo, point)
    local values = { 1, "two", false, { 3, { four = 4 } }, math.huge, "" }
    for _, value in ipairs(values) do
      anchor:send(value)
      assert.same(value, anchor:recv(20))
    end
    anchor:send "end"
    assert.equal("ended", p:result(20))
  end)

  it("carries functions with what they captured, and cycles", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(echo, point)
    local step = 5
    local cycle = {}
    cycle.self = cycle
    anchor:send{ add = function(n) return n + step end, cycle = cycle }
    local back = anchor:recv(20)
    assert.equal(12, back.add(7))
    assert.equal(back.cycle, back.cycle.self)
    anchor:send "end"
    assert.equal("ended", p:result(20))
  end)

  it("tells a nil that was sent from a time that ran out", function()
    local anchor, point = sk.Pipe.pair()
    point:send(nil)
    assert.equal(1, select("#", anchor:recv(0)))
    local value, why = anchor:recv(0)
    assert.is_nil(value)
    assert.equal("timeout", why)
  end)

  it("works between two ends of one process, in order", function()
    local anchor, point = sk.Pipe.pair()
    for i = 1, 1000 do anchor:send(i) end
    for i = 1, 1000 do assert.equal(i, point:recv(0)) end
    for i = 1, 1000 do point:send(-i) end
    for i = 1, 1000 do assert.equal(-i, anchor:recv(0)) end
  end)

  it("waits no longer than it was told to", function()
    local anchor = sk.Pipe.pair()
    local timed = sk.sktime.Timer()
    timed:start()
    local value, why = anchor:recv(0.05)
    assert.is_nil(value)
    assert.equal("timeout", why)
    assert.is_true(timed:stop() >= 0.05)
  end)

  it("carries values that are longer than what it holds", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(echo, point)
    for _, size in ipairs { 100000, 128 * 1024, 3000000 } do
      local long = ("x"):rep(size)
      anchor:send(long)
      assert.is_true(anchor:recv(20) == long)
    end
    anchor:send "end"
    assert.equal("ended", p:result(20))
  end)

  it("makes who sends too much wait until it was read", function()
    local anchor, point = sk.Pipe.pair()
    local filler, sent = ("x"):rep(1000), 0
    while anchor:send(filler, 0) do sent = sent + 1 end
    assert.is_true(sent > 100 and sent < 1000, sent)
    local p = with_point(function(at)
      local n = 0
      while at:recv() ~= "end" do n = n + 1 end
      return n
    end, point)
    for _ = 1, 1000 do anchor:send(filler) end
    anchor:send "end"
    assert.equal(sent + 1000, p:result(20))
  end)

  it("sends nothing of a value whose time ran out", function()
    local anchor, point = sk.Pipe.pair()
    local ok, why = anchor:send(("x"):rep(1e6), 0.02)
    assert.is_nil(ok)
    assert.equal("timeout", why)
    -- make room: what came of it is no message
    assert.same({ nil, "timeout" }, { point:recv(0) })
    anchor:send "next"
    assert.equal("next", point:recv(0))
  end)

  it("goes on after a value that cannot be sent", function()
    local anchor, point = sk.Pipe.pair()
    local err = raised(anchor.send, anchor, coroutine.create(echo))
    assert.is_true(sk.is(err, "SerializationError"))
    anchor:send "fine"
    assert.equal("fine", point:recv(0))
  end)

  it("goes one way only when told so: from the anchor to the point", function()
    local anchor, point = sk.Pipe.pair{ one_way = true }
    anchor:send(1)
    assert.equal(1, point:recv(0))
    assert.matches("only sends", tostring(raised(anchor.recv, anchor)))
    assert.matches("only receives", tostring(raised(point.send, point, 1)))
  end)
end)

describe("Pipe, closed", function()
  after_each(nothing_left)

  it("hands out what was sent before, then says so", function()
    local anchor, point = sk.Pipe.pair()
    anchor:send "last"
    anchor:close()
    assert.equal("last", point:recv())
    for _ = 1, 2 do
      local err = raised(point.recv, point)
      assert.is_true(sk.is(err, "PipeClosedError"), tostring(err))
      assert.matches("pipe_spec.lua", tostring(err), 1, true)
    end
    assert.is_true(sk.is(raised(point.send, point, 1), "PipeClosedError"))
  end)

  it("cannot be used by who closed it, which may do so again", function()
    local anchor, point = sk.Pipe.pair()
    anchor:close()
    anchor:close()
    assert.matches("this end is closed", tostring(raised(anchor.recv, anchor)))
    assert.matches("this end is closed",
                   tostring(raised(anchor.send, anchor, 1)))
    point:close()
  end)

  it("is closed by the collector", function()
    local anchor, point = sk.Pipe.pair()
    anchor:send "last"
    anchor = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal("last", point:recv())
    assert.is_true(sk.is(raised(point.recv, point), "PipeClosedError"))
  end)

  it("ends a wait in another process", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(function(at)
      at:send "ready"
      local ok, err = pcall(at.recv, at)
      return { ok, sk.is(err, "PipeClosedError") }
    end, point)
    assert.equal("ready", anchor:recv(20))
    anchor:close()
    assert.same({ false, true }, p:result(20))
  end)
end)

describe("A pipe's point", function()
  after_each(nothing_left)

  it("is the process's that has it as a field, from its start on", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(echo, point)
    for _, fn in ipairs { point.recv, point.send } do
      local err = raised(fn, point, 1)
      assert.matches("belongs to another process", tostring(err))
    end
    anchor:send "end"
    p:result(20)
    -- also when that has ended
    assert.matches("another process", tostring(raised(point.send, point, 1)))
  end)

  it("is the process's whose hook has captured it", function()
    local anchor, point = sk.Pipe.pair()
    local Class = sk.Skprocess:extend "Captures"
    function Class.__run__() point:send(point:recv() + 1) end
    local p = Class()
    p.config.runs = 1
    p:start()
    anchor:send(41)
    assert.equal(42, anchor:recv(20))
    assert.is_true(p:wait(20))
    assert.matches("another process", tostring(raised(point.send, point, 1)))
  end)

  it("may be told to a process that was started before", function()
    local Class = sk.Skprocess:extend "IsTold"
    function Class:__run__() self:listen(20):send "from there" end
    local p = Class()
    p.config.runs = 1
    p:start()
    local anchor, point = sk.Pipe.pair()
    p:tell(point)
    assert.equal("from there", anchor:recv(20))
    assert.is_true(p:wait(20))
  end)

  it("may be a Pool's item, whose workers are older than it", function()
    local pool = sk.Pool{ workers = 2 }
    local pairs_of = {}
    for i = 1, 4 do pairs_of[i] = { sk.Pipe.pair() } end
    local points = {}
    for i, ends in ipairs(pairs_of) do
      ends[1]:send(i)
      points[i] = ends[2]
    end
    local got = pool:map(function(at) return at:recv(20) * 10 end, points)
    assert.same({ 10, 20, 30, 40, n = 4 }, got)
    assert.matches("another process",
                   tostring(raised(points[1].recv, points[1])))
    pool:close()
  end)

  it("may be captured by a Pool's function", function()
    local pool = sk.Pool{ workers = 1 }
    local anchor, point = sk.Pipe.pair()
    pool:map(function(x) point:send(x) end, { 1, 2, 3 })
    for i = 1, 3 do assert.equal(i, anchor:recv(20)) end
    pool:close()
  end)

  it("may be handed on from process to process, and back", function()
    local pool = sk.Pool{ workers = 1 }
    local anchor, point = sk.Pipe.pair()
    local home = pool:map(function(at)
      at:send "away"
      return at
    end, { point })[1]
    assert.equal("away", anchor:recv(20))
    home:send "home"
    assert.equal("home", anchor:recv(20))
    point:send "the same"
    assert.equal("the same", anchor:recv(20))
    pool:close()
  end)

  it("brings what was sent, though both ends are dropped under way",
     function()
    local Class = sk.Skprocess:extend "IsTold"
    function Class:__run__()
      self:tell "ready"
      self:listen(20)
      local point = self:listen(20)
      self.got = { point:recv(20), (pcall(point.recv, point)) }
    end
    function Class:__result__() return self.got end
    local p = Class()
    p.config.runs = 1
    p:start()
    assert.equal("ready", p:listen(20))
    do
      local anchor, point = sk.Pipe.pair()
      anchor:send "the last"
      p:tell "a point comes"
      p:tell(point)
      anchor:close()
    end
    collectgarbage()
    collectgarbage()
    assert.same({ "the last", false }, p:result(20))
    sk.Pipe.pair() -- which forgets those that have arrived
  end)

  it("that bytes made up is refused", function()
    local _, point = sk.Pipe.pair()
    local bytes = sk.cerial.serialize(point)
    local place = bytes:match "%x+:%d+:%d+"
    local function refused(changed)
      local at = bytes:find(place, 1, true)
      local err = raised(sk.cerial.deserialize, bytes:sub(1, at - 1)
        .. changed .. bytes:sub(at + #place))
      assert.is_true(sk.is(err, "DeserializationError"), tostring(err))
    end
    refused(("z"):rep(#place))
    refused(("f"):rep(16) .. place:sub(17))
    assert.equal("Pipe point", tostring(point))
    point:close() -- it does not wait for whoever has the bytes
  end)

  it("goes in the middle of its messages without losing one", function()
    local anchor, point = sk.Pipe.pair()
    for i = 1, 100 do anchor:send(i) end
    for i = 1, 40 do assert.equal(i, point:recv(0)) end
    local p = with_point(function(at)
      local got = {}
      for _ = 41, 100 do got[#got + 1] = at:recv(20) end
      return got
    end, point)
    local got = p:result(20)
    assert.equal(60, #got)
    for i, value in ipairs(got) do assert.equal(40 + i, value) end
  end)

  it("stays when it is locked, until it is unlocked", function()
    local anchor, point = sk.Pipe.pair()
    point:lock()
    local err = raised(sk.cerial.serialize, point)
    assert.matches("locked", tostring(err))
    assert.matches("locked", tostring(raised(with_point, echo, point)))
    helper.in_child(function()
      local ok, why = pcall(point.send, point, 1)
      assert(not ok and tostring(why):find "another process", why)
    end)
    point:send "still here"
    assert.equal("still here", anchor:recv(0))
    point:unlock()
    local p = with_point(echo, point)
    anchor:send "end"
    assert.equal("ended", p:result(20))
  end)

  it("can be used by a forked child that its owner leaves it to", function()
    local anchor, point = sk.Pipe.pair()
    local child = helper.fork(function() point:send(point:recv()) end)
    anchor:send "there"
    assert.equal("there", anchor:recv(20))
    assert.equal(0, child:finish())
    assert.matches("another process", tostring(raised(point.send, point, 1)))
  end)

  it("is not taken by the child of a former owner", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(echo, point)
    helper.in_child(function()
      local ok, why = pcall(point.send, point, 1)
      assert(not ok and tostring(why):find "another process", why)
    end)
    anchor:send "end"
    assert.equal("ended", p:result(20))
  end)

  it("stays in its process when that syncs its fields", function()
    local anchor, point = sk.Pipe.pair()
    local Class = sk.Skprocess:extend "Syncs"
    function Class:__run__() self.point:send(self.point:recv()) end
    local p = Class()
    p.point, p.config.runs, p.config.join_in = point, 3, 1
    p:start()
    for i = 1, 3 do
      anchor:send(i)
      assert.equal(i, anchor:recv(20))
      p:sync()
    end
    assert.is_true(p:wait(20))
  end)
end)

describe("A pipe's anchor", function()
  after_each(nothing_left)

  it("cannot be sent anywhere, and says so", function()
    local anchor = sk.Pipe.pair()
    local err = raised(sk.cerial.serialize, { anchor })
    assert.is_true(sk.is(err, "SerializationError"))
    assert.matches("the anchor of a pipe stays with its process",
                   tostring(err))
  end)

  it("is of no use in a forked child, which cannot close it", function()
    local anchor, point = sk.Pipe.pair()
    helper.in_child(function()
      local ok, why = pcall(anchor.send, anchor, 1)
      assert(not ok and tostring(why):find "anchor belongs to", why)
      anchor:close()
      anchor = nil
      collectgarbage()
    end)
    anchor:send "still open"
    assert.equal("still open", point:recv(0))
  end)
end)

describe("Pipe, misused", function()
  after_each(nothing_left)

  it("refuses what makes no sense, by name", function()
    local anchor, point = sk.Pipe.pair()
    for _, case in ipairs {
      { "one_way", sk.Pipe.pair, { one_way = 1 } },
      { "one_wy", sk.Pipe.pair, { one_wy = true } },
      { "timeout", anchor.recv, anchor, -1 },
      { "timeout", anchor.recv, anchor, "soon" },
      { "self", anchor.recv, {} },
      { "self", point.send, nil, 1 },
      { "self", point.lock, 5 },
      { "self", anchor.close },
    } do
      local err = raised(case[2], case[3], case[4])
      assert.is_true(sk.is(err, "ArgumentError"), tostring(err))
      assert.matches(case[1], tostring(err), 1, true)
    end
  end)

  it("refuses to be used from within a value's own hooks", function()
    local anchor, point = sk.Pipe.pair()
    local Nosy = sk.class "Nosy"
    function Nosy.__serialize() return anchor:send "inside" end
    local err = raised(anchor.send, anchor, Nosy())
    assert.matches("in use", tostring(err))
    anchor:send "after"
    assert.equal("after", point:recv(0))
  end)

  it("says what it is", function()
    local anchor, point = sk.Pipe.pair()
    assert.equal("Pipe anchor", tostring(anchor))
    point:close()
    assert.equal("Pipe point, closed", tostring(point))
  end)
end)
