# Stands in for Slicer's packing of an extension, as far as it needs files of the extension.

foreach(name LICENSE README)
  if(NOT EXISTS "${EXTENSION_${name}_FILE}")
    message(FATAL_ERROR "EXTENSION_${name}_FILE is not there: ${EXTENSION_${name}_FILE}")
  endif()
endforeach()
