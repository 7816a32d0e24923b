# SPDX-License-Identifier: Apache-2.0
# The native runtime's vector loops, once for each tier of instructions (src/runtime/native/simd/simd.h): their objects are
# simd_objects. A tier's name is what src/runtime/native/simd/choose.c calls its table.
get_filename_component(simd_root ${CMAKE_CURRENT_LIST_DIR}/../src ABSOLUTE)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(simd_tiers neon) # what every such processor has
  set(simd_flags_neon "")
else()
  set(simd_tiers portable)
  set(simd_flags_portable "")
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  list(APPEND simd_tiers sse41 avx2 avx512)
  set(simd_flags_sse41 -msse4.1)
  set(simd_flags_avx2 -mavx2 -mfma -mf16c)
  set(simd_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
endif()
file(GLOB simd_sources CONFIGURE_DEPENDS ${simd_root}/runtime/native/simd/simd_*.c)
foreach(tier ${simd_tiers})
  add_library(simd_${tier} OBJECT ${simd_sources})
  target_include_directories(simd_${tier} PRIVATE ${simd_root})
  target_compile_definitions(simd_${tier} PRIVATE NATIVE_TIER=${tier})
  target_compile_options(simd_${tier} PRIVATE ${simd_flags_${tier}} $<$<NOT:$<CONFIG:Debug>>:-O3> -fopenmp-simd
                         -ffp-contract=fast -fno-trapping-math -fno-signed-zeros)
  list(APPEND simd_objects $<TARGET_OBJECTS:simd_${tier}>)
endforeach()
