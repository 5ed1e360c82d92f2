package config

type validator struct {
	file    *File
	decoder *decoder
}

func (v *validator) validate() {}
