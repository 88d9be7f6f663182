std = "max"
max_line_length = 80
cache = false
-- `not (a < b)` is not `a >= b` where NaN may come.
ignore = { "581" }

files["spec"] = { std = "max+busted" }
-- Rockspecs and LDoc's configuration are tables of globals.
files["rockspec"] = { std = "+rockspec" }
