-- Many random methods: nothing that changes is left out of their writes.
-- SEED is where to begin.

local detect = require "suitkaise.detect"
local fuzz = require "spec.detect_fuzz"

describe("detect.method", function()
  it("never leaves out a field that changed, at length", function()
    local first = tonumber(os.getenv "SEED" or "") or os.time() % 1000000
    print("detect_stress: seeds from " .. first)
    local exact = 0
    for seed = first, first + 2000 do exact = exact + fuzz.try(seed) end
    assert.is_true(exact > 0 or not detect.is_available)
  end)
end)
