-- The example of a job queue: what it prints.

local helper = require "spec.helper"

describe("examples/job_queue.lua", function()
  after_each(helper.nothing_left)

  it("does the jobs, tries again, and lists what never worked", function()
    local output = helper.run 'dofile "examples/job_queue.lua"'
    assert.equal(table.concat({
      "done  1: 42", "done  2: at last", "done  4: 8",
      helper.lua == "lua5.3" and "done  7: 1.0"
        or helper.lua == "lua5.4" and "done  7: 1.0" or "done  7: 1",
      "dead  3: RunError: no number in hello",
      "dead  5: ProcessDiedError: exit code 3",
      "dead  6: ProcessTimeoutError: more than 0.2 s", "",
    }, "\n"), output)
  end)
end)
