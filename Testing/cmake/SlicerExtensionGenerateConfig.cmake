# Stands in for Slicer's description of an extension: what the Extensions Manager shows, one "name value" a line.

set(description "")
foreach(name HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if(NOT EXTENSION_${name})
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  string(TOLOWER ${name} field)
  string(APPEND description "${field} ${EXTENSION_${name}}\n")
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/${PROJECT_NAME}.s4ext" "${description}")
