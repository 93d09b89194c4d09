package demo

import (
	"encoding/binary"
	"math"
)

// The picture is a square of this many grey pixels a side: 5 MiB with its
// header. Four divides it, so that rows need no padding.
const xraySide = 2288

const (
	bmpHeader  = 14 + 40
	bmpPalette = 256 * 4
)

// drawXRay returns a chest that belongs to nobody, always the same, as an
// uncompressed 8-bit bitmap: an old device would not compress either.
func drawXRay() []byte {
	const offset = bmpHeader + bmpPalette
	const size = offset + xraySide*xraySide
	b := make([]byte, size)
	le := binary.LittleEndian
	copy(b, "BM")
	le.PutUint32(b[2:], size)
	le.PutUint32(b[10:], offset)
	le.PutUint32(b[14:], 40) // BITMAPINFOHEADER
	le.PutUint32(b[18:], xraySide)
	le.PutUint32(b[22:], xraySide)
	le.PutUint16(b[26:], 1) // planes
	le.PutUint16(b[28:], 8) // bits a pixel
	le.PutUint32(b[34:], xraySide*xraySide)
	le.PutUint32(b[46:], 256)
	for i := range 256 {
		copy(b[bmpHeader+4*i:], []byte{byte(i), byte(i), byte(i), 0})
	}
	noise := uint32(77)
	for row := range xraySide { // from the bottom, as bitmaps go
		y := 2*float64(row)/xraySide - 1
		line := b[offset+row*xraySide:][:xraySide]
		for i := range line {
			noise = noise*1664525 + 1013904223
			line[i] = byte(min(max(255*shade(2*float64(i)/xraySide-1, y)+float64(noise>>29), 0), 255))
		}
	}
	return b
}

// shade returns how bright the chest is at x, y, both from -1 (left, bottom) to 1.
func shade(x, y float64) float64 {
	body := 1 - (x*x/0.8 + y*y/1.4)
	if body <= 0 {
		return 0.02
	}
	v := 0.25 + 0.35*math.Sqrt(body)
	for _, side := range []float64{-1, 1} {
		dx, dy := (x-side*0.38)/0.3, y/0.65
		if lung := 1 - dx*dx - dy*dy; lung > 0 {
			v -= 0.42 * math.Sqrt(lung)
			if rib := math.Sin(14*y + 5*math.Abs(x)); rib > 0.55 {
				v += 0.22 * (rib - 0.55) / 0.45
			}
		}
	}
	v += 0.4 * math.Exp(-x*x/0.006) * (0.8 + 0.2*math.Sin(30*y)) // the spine
	heart := (x-0.16)*(x-0.16)/0.05 + (y+0.18)*(y+0.18)/0.09
	v += 0.3 * math.Exp(-heart)
	return v
}
