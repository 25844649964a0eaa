-- SPDX-License-Identifier: LGPL-2.1-or-later
-- All ways to place n queens, by coroutines.
local n = tonumber(arg[1]) or 7

local function place(row, columns, up, down)
	if row > n then
		coroutine.yield(table.concat(columns, " "))
		return
	end
	for c = 1, n do
		local u, d = row + c, row - c
		if not (columns[-c] or up[u] or down[d]) then
			columns[row], columns[-c], up[u], down[d] = c, true, true, true
			place(row + 1, columns, up, down)
			columns[row], columns[-c], up[u], down[d] = nil, nil, nil, nil
		end
	end
end

local count = 0
for line in coroutine.wrap(function() place(1, {}, {}, {}) end) do
	count = count + 1
	if count <= 3 then print(line) end
end
print(count)
