package fault

// EditDistance returns how many bytes must be inserted, deleted or replaced to turn
// a into b (Levenshtein, one row at a time), for a problem that asks "did you mean".
// Its cost is the product of the lengths: bound what comes from a file before.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
