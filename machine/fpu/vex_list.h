/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions of AVX, AVX2, FMA, F16C and of VAES, VPCLMULQDQ and GFNI in VEX encoding that are one host
 * instruction on the same operands: by the form of their thunks (vex_thunks.S). Included by the assembler too. What
 * moves, gathers or masks memory is in vex_move.c and vex_memory.c.
 *
 * _(NAME): integers and bits: no exceptions, no rounding. F(NAME): looks at MXCSR. BOTH: 128 and 256 bits; LIG: scalar,
 * VEX.L is ignored.
 */
#ifndef OOH_MACHINE_FPU_VEX_LIST_H
#define OOH_MACHINE_FPU_VEX_LIST_H

/* d = a op b */
#define VEX_AB_BOTH(_, F)                                                                                              \
	_(VPADDB) _(VPADDW) _(VPADDD) _(VPADDQ) _(VPADDSB) _(VPADDSW) _(VPADDUSB) _(VPADDUSW)                           \
	_(VPSUBB) _(VPSUBW) _(VPSUBD) _(VPSUBQ) _(VPSUBSB) _(VPSUBSW) _(VPSUBUSB) _(VPSUBUSW)                           \
	_(VPMULLW) _(VPMULHW) _(VPMULHUW) _(VPMULUDQ) _(VPMULDQ) _(VPMULLD) _(VPMULHRSW) _(VPMADDWD) _(VPMADDUBSW)      \
	_(VPSADBW) _(VPAVGB) _(VPAVGW) _(VPMINUB) _(VPMINUW) _(VPMINUD) _(VPMINSB) _(VPMINSW) _(VPMINSD)                \
	_(VPMAXUB) _(VPMAXUW) _(VPMAXUD) _(VPMAXSB) _(VPMAXSW) _(VPMAXSD) _(VPAND) _(VPANDN) _(VPOR) _(VPXOR)           \
	_(VPCMPEQB) _(VPCMPEQW) _(VPCMPEQD) _(VPCMPEQQ) _(VPCMPGTB) _(VPCMPGTW) _(VPCMPGTD) _(VPCMPGTQ)                 \
	_(VPACKSSWB) _(VPACKSSDW) _(VPACKUSWB) _(VPACKUSDW) _(VPUNPCKHBW) _(VPUNPCKHWD) _(VPUNPCKHDQ) _(VPUNPCKHQDQ)    \
	_(VPUNPCKLBW) _(VPUNPCKLWD) _(VPUNPCKLDQ) _(VPUNPCKLQDQ) _(VPSHUFB) _(VPHADDW) _(VPHADDD) _(VPHADDSW)           \
	_(VPHSUBW) _(VPHSUBD) _(VPHSUBSW) _(VPSIGNB) _(VPSIGNW) _(VPSIGND)                                              \
	_(VPSLLVD) _(VPSLLVQ) _(VPSRLVD) _(VPSRLVQ) _(VPSRAVD)                                                          \
	_(VANDPS) _(VANDPD) _(VANDNPS) _(VANDNPD) _(VORPS) _(VORPD) _(VXORPS) _(VXORPD)                                 \
	_(VUNPCKLPS) _(VUNPCKLPD) _(VUNPCKHPS) _(VUNPCKHPD) _(VPERMILPS) _(VPERMILPD)                                   \
	_(VAESENC) _(VAESENCLAST) _(VAESDEC) _(VAESDECLAST) _(VGF2P8MULB)                                               \
	F(VADDPS) F(VADDPD) F(VSUBPS) F(VSUBPD) F(VMULPS) F(VMULPD) F(VDIVPS) F(VDIVPD) F(VMINPS) F(VMINPD)             \
	F(VMAXPS) F(VMAXPD) F(VADDSUBPS) F(VADDSUBPD) F(VHADDPS) F(VHADDPD) F(VHSUBPS) F(VHSUBPD)

/* The same, with a count in b's low quadword or in the immediate. */
#define VEX_SHIFT_BOTH(_) _(VPSLLW) _(VPSLLD) _(VPSLLQ) _(VPSRLW) _(VPSRLD) _(VPSRLQ) _(VPSRAW) _(VPSRAD)

#define VEX_AB_256(_) _(VPERMD) _(VPERMPS)

#define VEX_AB_LIG(_, F)                                                                                               \
	_(VRCPSS) _(VRSQRTSS)                                                                                          \
	F(VADDSS) F(VADDSD) F(VSUBSS) F(VSUBSD) F(VMULSS) F(VMULSD) F(VDIVSS) F(VDIVSD) F(VMINSS) F(VMINSD)             \
	F(VMAXSS) F(VMAXSD) F(VSQRTSS) F(VSQRTSD) F(VCVTSS2SD) F(VCVTSD2SS)

/* d = d op a op b */
#define VEX_FMA_PACKED(F, op) F(op##132PS) F(op##213PS) F(op##231PS) F(op##132PD) F(op##213PD) F(op##231PD)
#define VEX_FMA_SCALAR(F, op) F(op##132SS) F(op##213SS) F(op##231SS) F(op##132SD) F(op##213SD) F(op##231SD)
#define VEX_DAB_BOTH(F)                                                                                                \
	VEX_FMA_PACKED(F, VFMADD) VEX_FMA_PACKED(F, VFMSUB) VEX_FMA_PACKED(F, VFNMADD) VEX_FMA_PACKED(F, VFNMSUB)       \
	VEX_FMA_PACKED(F, VFMADDSUB) VEX_FMA_PACKED(F, VFMSUBADD)
#define VEX_DAB_LIG(F)                                                                                                 \
	VEX_FMA_SCALAR(F, VFMADD) VEX_FMA_SCALAR(F, VFMSUB) VEX_FMA_SCALAR(F, VFNMADD) VEX_FMA_SCALAR(F, VFNMSUB)

/* d = a op b, chosen by c */
#define VEX_ABC_BOTH(_) _(VBLENDVPS) _(VBLENDVPD) _(VPBLENDVB)

/* d = op b */
#define VEX_B_BOTH(_, F)                                                                                               \
	_(VPABSB) _(VPABSW) _(VPABSD) _(VMOVSHDUP) _(VMOVSLDUP) _(VMOVDDUP) _(VRCPPS) _(VRSQRTPS)                       \
	_(VPMOVSXBW) _(VPMOVSXBD) _(VPMOVSXBQ) _(VPMOVSXWD) _(VPMOVSXWQ) _(VPMOVSXDQ)                                   \
	_(VPMOVZXBW) _(VPMOVZXBD) _(VPMOVZXBQ) _(VPMOVZXWD) _(VPMOVZXWQ) _(VPMOVZXDQ) _(VCVTDQ2PD)                      \
	_(VBROADCASTSS) _(VPBROADCASTB) _(VPBROADCASTW) _(VPBROADCASTD) _(VPBROADCASTQ)                                 \
	F(VSQRTPS) F(VSQRTPD) F(VCVTDQ2PS) F(VCVTPS2DQ) F(VCVTTPS2DQ) F(VCVTPS2PD) F(VCVTPH2PS)
#define VEX_B_128(_) _(VAESIMC) _(VPHMINPOSUW)
#define VEX_B_256(_) _(VBROADCASTSD) _(VBROADCASTF128) _(VBROADCASTI128)
/* The result has half the size of the source: mnemonic; the assembler's names of the two. */
#define VEX_HALF(F)                                                                                                    \
	F(VCVTPD2PS, VCVTPD2PSX, VCVTPD2PSY) F(VCVTPD2DQ, VCVTPD2DQX, VCVTPD2DQY) F(VCVTTPD2DQ, VCVTTPD2DQX, VCVTTPD2DQY)

/* With an immediate: how many values of it differ. d = a op b */
#define VEX_ABI_BOTH(_, F)                                                                                             \
	_(VSHUFPS, 256) _(VSHUFPD, 16) _(VPALIGNR, 256) _(VPBLENDW, 256) _(VPBLENDD, 256) _(VBLENDPS, 256)              \
	_(VBLENDPD, 16) _(VMPSADBW, 64) _(VPCLMULQDQ, 32) _(VGF2P8AFFINEQB, 256) _(VGF2P8AFFINEINVQB, 256)              \
	F(VDPPS, 256) F(VCMPPS, 32) F(VCMPPD, 32)
#define VEX_ABI_128(_, F) _(VPINSRB, 16) _(VPINSRW, 16) _(VPINSRD, 4) _(VPINSRQ, 4) F(VDPPD, 64)
#define VEX_ABI_256(_) _(VPERM2F128, 256) _(VPERM2I128, 256) _(VINSERTF128, 4) _(VINSERTI128, 4)
#define VEX_ABI_LIG(F) F(VCMPSS, 32) F(VCMPSD, 32) F(VROUNDSS, 16) F(VROUNDSD, 16)
/* d = op b */
#define VEX_BI_BOTH(_, F)                                                                                              \
	_(VPSHUFD, 256) _(VPSHUFLW, 256) _(VPSHUFHW, 256) _(VPERMILPS, 256) _(VPERMILPD, 16)                            \
	F(VROUNDPS, 16) F(VROUNDPD, 16)
#define VEX_BI_128(_) _(VAESKEYGENASSIST, 256)
#define VEX_BI_256(_) _(VPERMQ, 256) _(VPERMPD, 256)
/* The same of a register, by bytes; the assembler takes no memory operand. */
#define VEX_RI_BOTH(_) _(VPSLLDQ, 32) _(VPSRLDQ, 32)
/* d, a register or memory, is a part of register b. */
#define VEX_XI_BOTH(F) F(VCVTPS2PH, 8)
#define VEX_XI_256(_) _(VEXTRACTF128, 4) _(VEXTRACTI128, 4)
/* d, a general register or memory, is a part of register b. */
#define VEX_GI_128(_) _(VPEXTRB, 16, eax) _(VPEXTRW, 16, eax) _(VPEXTRD, 4, eax) _(VPEXTRQ, 4, rax) _(VEXTRACTPS, 4, eax)

/* General register d = signs of register b. */
#define VEX_G_BOTH(_) _(VMOVMSKPS) _(VMOVMSKPD) _(VPMOVMSKB)
/* General register d of 4 or 8 bytes = number b. */
#define VEX_CG(F)                                                                                                      \
	F(VCVTSS2SI, 4, eax) F(VCVTSS2SI, 8, rax) F(VCVTTSS2SI, 4, eax) F(VCVTTSS2SI, 8, rax)                           \
	F(VCVTSD2SI, 4, eax) F(VCVTSD2SI, 8, rax) F(VCVTTSD2SI, 4, eax) F(VCVTTSD2SI, 8, rax)
/* d = a with general register b of 4 or 8 bytes as a number in its low element; the assembler's name. */
#define VEX_GC(F)                                                                                                      \
	F(VCVTSI2SS, 4, VCVTSI2SSL) F(VCVTSI2SS, 8, VCVTSI2SSQ) F(VCVTSI2SD, 4, VCVTSI2SDL) F(VCVTSI2SD, 8, VCVTSI2SDQ)

/* a with b into the status flags. */
#define VEX_T_BOTH(_) _(VPTEST) _(VTESTPS) _(VTESTPD)
#define VEX_T_LIG(F) F(VCOMISS) F(VCOMISD) F(VUCOMISS) F(VUCOMISD)

#endif
