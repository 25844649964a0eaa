-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Metatables, garbage, and tables that grow and shrink.
local Matrix = {}
Matrix.__index = Matrix

local function matrix(n, f)
	local m = setmetatable({ n = n }, Matrix)
	for i = 1, n * n do m[i] = f((i - 1) // n, (i - 1) % n) end
	return m
end

function Matrix.__mul(a, b)
	return matrix(a.n, function(i, j)
		local sum = 0
		for k = 0, a.n - 1 do
			sum = sum + a[i * a.n + k + 1] * b[k * a.n + j + 1]
		end
		return sum
	end)
end

local m = matrix(40, function(i, j) return (i * 7 + j * 3) % 5 end)
local p = m * m * m
print(p[1], p[800], p[1600])

local queue, first, last = {}, 1, 0
for round = 1, 20 do
	for i = 1, 30000 do last = last + 1; queue[last] = { last, tostring(i) } end
	for _ = 1, 29000 do queue[first] = nil; first = first + 1 end
end
collectgarbage()
print(last - first + 1, queue[first][1], queue[last][2])
print(collectgarbage("count") > 1000)
print(pcall(string.rep, "x", -1))
print(select("#", table.unpack({}, 1, 100000)))
