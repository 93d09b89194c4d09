package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// ParseDuration reads numbers with the units y (365 days), d, h, m and s, the
// larger first and each at most once: 90s, 1h30m, 6y.
func ParseDuration(text string) (time.Duration, error) {
	units := []struct {
		letter byte
		length time.Duration
	}{{'y', year}, {'d', day}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}
	errForm := fmt.Errorf("%s is not a duration such as 90s, 5m, 1h30m or 6y", quoted(text))
	rest, next, sum := text, 0, time.Duration(0)
	for first := true; first || rest != ""; first = false {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) {
			return 0, errForm
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		for next < len(units) && units[next].letter != rest[digits] {
			next++
		}
		if next == len(units) {
			return 0, errForm
		}
		length := units[next].length
		if err != nil || n > int64((math.MaxInt64-sum)/length) {
			return 0, fmt.Errorf("%s is too long", quoted(text))
		}
		sum += time.Duration(n) * length
		rest, next = rest[digits+1:], next+1
	}
	return sum, nil
}

// parseSize reads a number of KiB, MiB or GiB, or a bare 0, and returns bytes.
func parseSize(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		shift := 10 * (i + 1)
		switch {
		case errors.Is(err, strconv.ErrRange), err == nil && n > math.MaxInt64>>shift:
			return 0, fmt.Errorf("%s is too large", quoted(text))
		case err == nil:
			return int64(n) << shift, nil
		}
	}
	return 0, fmt.Errorf("%s is not a size such as 64KiB, 10MiB or 1GiB", quoted(text))
}
