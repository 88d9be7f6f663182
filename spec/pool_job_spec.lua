-- How a call cuts its items into messages.

local Job = require "suitkaise.pool.job"

local function numbers(n)
  local t = {}
  for i = 1, n do t[i] = i end
  return t
end

local function new(n, how)
  how = how or {}
  how.mode, how.chunk = how.mode or "map", how.chunk or "auto"
  return Job.new(1, numbers(n), n, how)
end

describe("A job of a Pool", function()
  it("begins with one item in a message", function()
    assert.equal(1, new(1000):chunk_size(2))
  end)

  it("sends more and more quick items together, up to a bound", function()
    local job = new(1e6)
    local size, steps = 1, 0
    repeat
      local before = size
      job:learn(size, size * 1e-7)
      size = job:chunk_size(2)
      assert.is_true(size <= 8 * before)
      steps = steps + 1
    until size == before
    assert.is_true(size > 1000 and size < 10000)
    assert.is_true(steps < 8)
  end)

  it("aims at half a millisecond", function()
    local job = new(1e6)
    for _ = 1, 50 do job:learn(10, 10 * 1e-5) end
    assert.is_true(math.abs(job:chunk_size(2) - 50) <= 1)
  end)

  it("sends slow items one by one, also when they were quick before",
  function()
    local job = new(1e6)
    for _ = 1, 20 do job:learn(100, 1e-5) end
    for _ = 1, 20 do job:learn(1, 2e-3) end
    assert.equal(1, job:chunk_size(2))
  end)

  it("shares what is left among the workers at the end", function()
    local job = new(100)
    for _ = 1, 20 do job:learn(100, 1e-5) end
    assert.equal(25, job:chunk_size(2))
    assert.equal(13, job:chunk_size(4))
  end)

  it("keeps to a chunk that was asked for, in a loop up to a bound",
  function()
    assert.equal(7, new(1000, { chunk = 7 }):chunk_size(2))
    local loop = new(1e6, { chunk = 1000, mode = "imap", max_chunk = 256 })
    assert.equal(256, loop:chunk_size(2))
  end)

  it("hands out every item once, in order, those given back first", function()
    local job = new(10)
    assert.is_true(job:prepare(4))
    assert.same({ 1, 4 }, { job:take_range(4) })
    assert.same({ 5, 8 }, { job:take_range(4) })
    job:give_back(3, 4)
    assert.same({ 3, 3 }, { job:take_range(1) })
    assert.same({ 4, 4 }, { job:take_range(9) })
    assert.same({ 9, 10 }, { job:take_range(9) })
    assert.is_false(job:prepare(1))
    assert.is_nil(job:take_range(1))
  end)

  it("hands out nothing and asks no iterator when it was broken off",
  function()
    local asked = 0
    local job = Job.new(1, function()
      asked = asked + 1
      return asked
    end, nil, { mode = "map", chunk = "auto" })
    job:break_off("an error")
    assert.is_false(job:prepare(5))
    assert.equal(0, asked)
  end)
end)
