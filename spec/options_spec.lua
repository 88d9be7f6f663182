local errors = require "suitkaise.errors"
local options = require "suitkaise.options"

local SPEC = {
  workers = { type = "integer", min = 1, default = 4 },
  chunk = { type = "integer", min = 1, values = { "auto" }, default = "auto" },
  on_error = { values = { "raise", "collect" }, default = "raise" },
  isolate = "boolean",
  timeout = { type = "number", min = 0 },
  progress = "boolean|function",
}

local function pool(given)
  local checked = options.check("Pool", given, SPEC)
  return checked
end

local function complaint(given)
  local ok, err = pcall(pool, given)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "ArgumentError"))
  return err.message
end

describe("a table of options", function()
  it("gets the defaults", function()
    assert.same({ workers = 4, chunk = "auto", on_error = "raise" }, pool {})
  end)

  it("may be left out", function()
    assert.equal(4, pool().workers)
  end)

  it("keeps what is given, false too", function()
    local o = pool { workers = 2, isolate = false, chunk = 7, timeout = 0.5 }
    assert.equal(2, o.workers)
    assert.equal(false, o.isolate)
    assert.equal(7, o.chunk)
    assert.equal(0.5, o.timeout)
  end)

  it("is not changed itself", function()
    local given = { workers = 2 }
    pool(given)
    assert.same({ workers = 2 }, given)
  end)

  it("takes any of several types", function()
    assert.equal(print, pool { progress = print }.progress)
    assert.equal(true, pool { progress = true }.progress)
  end)

  it("takes what can be called for a function", function()
    local callable = setmetatable({}, { __call = function() end })
    assert.equal(callable, pool { progress = callable }.progress)
  end)

  it("takes whole floats for whole numbers", function()
    assert.equal(2, pool { workers = 2.0 }.workers)
  end)
end)

describe("a wrong option", function()
  it("is named with the nearest known one", function()
    assert.equal('Pool: unknown option "wrokers"; did you mean "workers"?',
                 complaint { wrokers = 3 })
    assert.equal('Pool: unknown option "chunks"; did you mean "chunk"?',
                 complaint { chunks = 3 })
    assert.equal('Pool: unknown option "Workers"; did you mean "workers"?',
                 complaint { Workers = 3 })
  end)

  it("is named with all known ones when none is near", function()
    assert.equal('Pool: unknown option "colour"; there is chunk, isolate, '
      .. "on_error, progress, timeout, workers", complaint { colour = 1 })
  end)

  it("may have any key", function()
    assert.matches("^Pool: unknown option 1;", complaint { 3 })
    assert.matches("^Pool: unknown option table;", complaint { [{}] = 3 })
  end)

  it("is named with its value and what was expected", function()
    assert.equal('Pool: isolate must be true or false, got "yes"',
                 complaint { isolate = "yes" })
    assert.equal("Pool: workers must be a whole number of at least 1, got 0",
                 complaint { workers = 0 })
    assert.equal("Pool: workers must be a whole number of at least 1, got 1.5",
                 complaint { workers = 1.5 })
    assert.equal("Pool: chunk must be a whole number of at least 1 or "
      .. '"auto", got "fast"', complaint { chunk = "fast" })
    assert.equal('Pool: on_error must be "raise" or "collect", got 1',
                 complaint { on_error = 1 })
    assert.equal("Pool: progress must be true or false or a function, got 1",
                 complaint { progress = 1 })
  end)

  it("may be no number at all", function()
    assert.matches("^Pool: workers must be", complaint { workers = 0 / 0 })
    assert.matches("^Pool: workers must be", complaint { workers = 1 / 0 })
    assert.matches("^Pool: timeout must be", complaint { timeout = 0 / 0 })
  end)

  it("is at the line of the one who gave it", function()
    local ok, err = pcall(function()
      pool { wrokers = 3 } end)
    assert.is_false(ok)
    local info = debug.getinfo(1, "Sl")
    assert.equal(info.short_src .. ":" .. info.currentline - 2, err.where)
  end)

  it("may be the table itself", function()
    assert.equal("Pool: options must be a table, got 4", complaint(4))
  end)
end)

describe("the nearest name", function()
  it("counts letters that changed places as one edit", function()
    assert.equal("count", options.nearest("coutn", { "counts_all", "count" }))
  end)

  it("is none when all are far", function()
    assert.is_nil(options.nearest("xyz", { "workers", "chunk" }))
  end)

  it("is none for a name of endless length", function()
    local long, begun = ("w"):rep(2e7), os.clock()
    assert.is_nil(options.nearest(long, { "workers" }))
    assert.is_true(os.clock() - begun < 0.2)
  end)
end)
